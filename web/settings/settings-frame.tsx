import { useQuery } from '@tanstack/react-query'
import { Boxes, Building2, Info, KeyRound, Server, Ticket, User, Users } from 'lucide-react'
import { type ReactNode, useEffect, useRef } from 'react'
import { type Me, meQuery } from '../data/session.ts'
import { Link, usePath } from '../navigation/navigation.tsx'

const entries = [
  { group: 'Hub', to: '/settings/runners', word: 'Runners', Icon: Server, admin: false },
  { group: 'Hub', to: '/settings/groups', word: 'Groups', Icon: Boxes, admin: false },
  { group: 'Hub', to: '/settings/secrets', word: 'Secrets', Icon: KeyRound, admin: false },
  { group: 'Hub', to: '/settings/users', word: 'Users', Icon: Users, admin: true },
  { group: 'Hub', to: '/settings/tenants', word: 'Tenants', Icon: Building2, admin: 'of the hub' },
  { group: 'You', to: '/settings/me', word: 'Profile', Icon: User, admin: false },
  { group: 'You', to: '/settings/tokens', word: 'Tokens', Icon: Ticket, admin: false },
  { group: 'About', to: '/settings/about', word: 'Version', Icon: Info, admin: false },
] as const

/** Reports whether a page of settings is for this person: users for admins, tenants for admins of the first tenant. */
const isFor = (admin: (typeof entries)[number]['admin'], me: Me | undefined): boolean =>
  !admin || (me?.role === 'admin' && (admin === true || me.tenant === 'default'))
export const mayUsers = (me: Me | undefined): boolean => isFor(true, me)
export const mayTenants = (me: Me | undefined): boolean => isFor('of the hub', me)

/** Shows the pages of settings beside each other; on a narrow screen, in a line above. */
export function SettingsFrame({
  title,
  aside,
  children,
}: {
  title: string
  aside?: ReactNode
  children: ReactNode
}) {
  const { data: me } = useQuery(meQuery)
  const bar = useRef<HTMLElement>(null)
  useEffect(() => {
    document.title = `${title} · Errand`
    bar.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [title])
  const shown = entries.filter(({ admin }) => isFor(admin, me))
  const path = usePath()
  const closed = me !== undefined && entries.find(({ to, admin }) => to === path && !isFor(admin, me))
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-3 border-b border-line px-edge max-sm:h-auto max-sm:min-h-12 max-sm:py-1">
        <span className="flex items-baseline gap-2">
          <span className="text-ink2 max-sm:hidden">Settings</span>
          <span className="text-ink3 max-sm:hidden" aria-hidden>
            /
          </span>
          <h1 className="text-page font-semibold max-sm:text-run">{title}</h1>
        </span>
        <span className="ml-auto flex items-center gap-3">{aside}</span>
      </header>
      <div className="flex min-h-0 flex-1 max-md:flex-col">
        <nav
          ref={bar}
          aria-label="Settings"
          className="flex w-44 shrink-0 flex-col gap-px border-r border-line bg-sunken p-2 max-md:w-auto max-md:flex-row max-md:overflow-x-auto max-md:border-r-0 max-md:border-b"
        >
          {shown.map(({ group, to, word, Icon }, index) => (
            <div key={to} className="contents">
              {shown[index - 1]?.group !== group && (
                <span className="px-2 pt-2 pb-1 text-label text-ink3 not-first:mt-2 max-md:hidden">
                  {group}
                </span>
              )}
              <Link
                to={to}
                className="flex h-7 shrink-0 items-center gap-2 rounded-md border border-transparent px-2 text-ink2 hover:bg-hover hover:text-ink max-sm:h-11"
                hereClass="border-line! bg-surface! font-medium text-ink!"
              >
                <Icon size={14} strokeWidth={1.75} aria-hidden />
                {word}
              </Link>
            </div>
          ))}
        </nav>
        <main className="min-h-0 min-w-0 flex-1 overflow-auto pb-10">
          {closed ? (
            <p className="px-edge py-5 text-ink2">
              This page is for admins{closed.admin === true ? '' : " of the hub's first tenant"}: ask one of
              them.
            </p>
          ) : (
            children
          )}
        </main>
      </div>
    </>
  )
}

/** A section of a page of settings. */
export function Part({
  title,
  about,
  aside,
  children,
}: {
  title: string
  about?: ReactNode
  aside?: ReactNode
  children: ReactNode
}) {
  return (
    <section aria-label={title} className="border-b border-line px-edge py-5 last:border-b-0">
      <div className="flex min-h-7 max-w-3xl items-center gap-3">
        <h2 className="min-w-0 flex-1 break-words font-semibold">
          <bdi>{title}</bdi>
        </h2>
        {aside}
      </div>
      {about !== undefined && <p className="mt-0.5 max-w-3xl text-meta text-ink2">{about}</p>}
      <div className="mt-3 max-w-3xl">{children}</div>
    </section>
  )
}

/** A label above its control. */
export function Labelled({ word, children }: { word: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is what it is given
    <label className="flex min-w-0 flex-col gap-1 text-meta text-ink2 max-sm:basis-full">
      {word}
      {children}
    </label>
  )
}

/** Shows a text that cannot be shown again. */
export function ShownOnce({
  what,
  text,
  copy,
  close,
}: {
  what: ReactNode
  text: string
  copy: ReactNode
  close: () => void
}) {
  return (
    <div role="status" className="mb-4 rounded-[10px] border border-accent p-4">
      <p className="mb-2">{what}</p>
      <div className="flex items-start gap-3 rounded-lg border border-line bg-sunken p-3">
        <code className="min-w-0 flex-1 font-mono text-meta break-all">{text}</code>
        {copy}
      </div>
      <button type="button" className="button mt-3" onClick={close}>
        Done
      </button>
    </div>
  )
}
