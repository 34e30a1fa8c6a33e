import { useQueryClient } from '@tanstack/react-query'
import { ChevronsUpDown, Menu } from 'lucide-react'
import type { ReactNode } from 'react'
import { basePath } from '../data/api.ts'
import { logOut, type Me } from '../data/session.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'
import { ThemeChoice } from '../parts/theme-choice.tsx'

/** Shows who is logged in, the theme, and the ways to log out. */
export function PersonMenu({
  me,
  below = false,
  children,
}: {
  me: Me
  below?: boolean
  children?: ReactNode
}) {
  const client = useQueryClient()
  const leave = async (everywhere: boolean) => {
    const { forgetNotices } = await import('../notices/notices.ts')
    await logOut(everywhere)
    forgetNotices(me)
    client.clear()
    location.assign(`${basePath}/login`)
  }
  const id = below ? 'person-below' : 'person'
  return (
    <>
      {below ? (
        <button
          type="button"
          popoverTarget={id}
          className="flex flex-1 flex-col items-center justify-center gap-1 text-label text-ink2"
        >
          <Menu size={22} strokeWidth={1.75} aria-hidden />
          More
        </button>
      ) : (
        <button
          type="button"
          popoverTarget={id}
          aria-label={`${me.name}: theme, log out`}
          className="flex h-9 items-center gap-2 rounded-md px-2 hover:bg-hover group-data-folded:px-1 max-xl:px-1"
        >
          <span className="flex size-[22px] shrink-0 items-center justify-center rounded-md bg-accent-soft text-label font-semibold text-accent">
            {me.name.slice(0, 2)}
          </span>
          <span className="truncate group-data-folded:hidden max-xl:hidden">{me.name}</span>
          <ChevronsUpDown
            size={14}
            strokeWidth={1.75}
            aria-hidden
            className="ml-auto text-ink3 group-data-folded:hidden max-xl:hidden"
          />
        </button>
      )}
      <div
        id={id}
        popover="auto"
        className={`fixed m-0 w-60 rounded-xl border border-line bg-raised p-3 text-ink ${below ? 'inset-auto right-2 bottom-18' : 'inset-auto bottom-14 left-2'}`}
        style={{ boxShadow: 'var(--float)' }}
      >
        <p className="mb-3 text-meta text-ink2">
          <span className="font-medium text-ink">{me.name}</span>, {me.role} of {me.tenant}
        </p>
        <ThemeChoice className="mb-3" />
        {children}
        {below && (
          <Link
            to="/settings/runners"
            className="button mb-1.5 w-full"
            onClick={() => document.getElementById(id)?.hidePopover()}
          >
            Runners
          </Link>
        )}
        <Link
          to="/settings/me"
          className="button mb-1.5 w-full"
          onClick={() => document.getElementById(id)?.hidePopover()}
        >
          Settings
        </Link>
        <div className="flex flex-col gap-1.5">
          <ActionButton doing="Logging out…" act={() => leave(false)} className="w-full">
            Log out
          </ActionButton>
          <ActionButton doing="Logging out…" act={() => leave(true)} kind="plain" className="w-full">
            Log out everywhere
          </ActionButton>
        </div>
      </div>
    </>
  )
}
