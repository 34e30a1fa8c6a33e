import { useQuery, useQueryClient } from '@tanstack/react-query'
import {
  GitPullRequest,
  ListTree,
  MessageSquare,
  PanelLeft,
  Plus,
  Search,
  Server,
  Settings,
} from 'lucide-react'
import {
  type ComponentType,
  lazy,
  type ReactNode,
  Suspense,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react'
import { basePath, whenRefused, whenSessionBack } from '../data/api.ts'
import { liveRuns, useConnection } from '../data/live/live.ts'
import { chooseTheme } from '../data/preferences.ts'
import { runQuery } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { Link, navigation, type Path, useNavigate, usePath } from '../navigation/navigation.tsx'
import type { Command } from '../palette/commands.ts'
import { heldKeys, holdKeysUntil } from '../parts/held-keys.ts'
import { useLetters } from '../parts/letters.ts'
import { Mark, Wordmark } from '../parts/mark.tsx'
import { useAttention } from './attention.ts'
import { ConnectionBanner, ConnectionDot, UpdateNotice } from './connection.tsx'
import { keepRunsLive, useNeedsYou, useSeenWhenOpened } from './needs-you.ts'
import { PersonMenu } from './person-menu.tsx'

const loadPalette = () => import('../palette/palette.tsx')
const Palette = lazy(async () => ({ default: (await loadPalette()).Palette }))
const LoginForm = lazy(async () => ({ default: (await import('../login/login-form.tsx')).LoginForm }))
const loadNotices = () => import('../notices/notice-list.tsx')
/** Loads a part of the page that is optional: if that fails, nothing is shown. */
function atBest<P>(load: () => Promise<ComponentType<P>>) {
  return lazy(() =>
    load().then(
      (part) => ({ default: part }),
      () => ({ default: (() => null) as ComponentType<P> }),
    ),
  )
}
const NoticeList = atBest(async () => (await loadNotices()).NoticeList)
const NoticeBell = atBest(async () => (await loadNotices()).NoticeBell)
const KeysSheet = lazy(async () => ({ default: (await import('../palette/keys-sheet.tsx')).KeysSheet }))

const entry =
  'relative flex h-[31px] items-center gap-2.5 rounded-md border border-transparent px-2 font-medium text-ink2 hover:bg-hover hover:text-ink'
const here = 'border-line! bg-surface! text-ink! dark:bg-raised!'

const modifier = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl'

/** Targets of `g` followed by a letter. */
const places: Readonly<Record<string, Path>> = {
  r: '/runs',
  s: '/sessions',
  t: '/tasks',
  m: '/settings/runners',
}
const AFTER_G_MS = 1500

/** Entries of the bar at the bottom, on a phone. */
const below = [
  { to: '/runs', word: 'Runs', Icon: ListTree },
  { to: '/sessions', word: 'Sessions', Icon: MessageSquare },
  { to: '/new', word: 'New', Icon: Plus },
  { to: '/tasks', word: 'Tasks', Icon: GitPullRequest },
] as const

interface Does {
  /** Something is opening and will take the letters. */
  opening: boolean
  fold: () => void
  palette: () => void
  allKeys: () => void
}

/** Handles the keys that work on every page. */
function useKeys({ opening, fold, palette, allKeys }: Does): void {
  const navigate = useNavigate()
  const went = useRef(Number.NEGATIVE_INFINITY)
  useLetters((key, { timeStamp }) => {
    if (opening) return false
    if (timeStamp - went.current < AFTER_G_MS && places[key] !== undefined) {
      went.current = Number.NEGATIVE_INFINITY
      void holdKeysUntil(navigate({ to: places[key] }))
    } else if (key === 'g') went.current = timeStamp
    else if (key === 'n') void holdKeysUntil(navigate({ to: '/new' }))
    else if (key === '[') fold()
    else if (key === '?') allKeys()
    else return false
  })
  const open = useRef(palette)
  open.current = palette
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { key, altKey, shiftKey, ctrlKey, metaKey } = event
      if (key.toLowerCase() !== 'k' || altKey || shiftKey || !(ctrlKey || metaKey)) return
      if (document.querySelector('dialog[open]') !== null) return
      open.current()
      event.preventDefault()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}

/** Returns the first word of the path; for an agent's run or the try of a task, the section that lists those. */
function useSection(path: string): string | undefined {
  const [, first, id = ''] = path.split('/')
  const { data: kind } = useQuery({
    ...runQuery(decodeURIComponent(id)),
    enabled: false,
    select: ({ blueprint }) => blueprint,
  })
  if (first !== 'runs' || id === '') return first
  return kind === 'agent' ? 'sessions' : kind === 'task' ? 'tasks' : first
}

/** Puts the side bar, or on a phone the bar at the bottom, around a page. */
export function Shell({ children }: { children: ReactNode }) {
  const { data: me } = useQuery(meQuery)
  const client = useQueryClient()
  const [folded, setFolded] = useState(false)
  const [expired, setExpired] = useState(false)
  const needsYou = useNeedsYou()
  useSeenWhenOpened()
  const path = usePath()
  const inSettings = /^\/settings\/(?!runners)/.test(path)
  const section = useSection(path)
  const [open, setOpen] = useState<'palette' | 'keys'>()
  const fold = () => setFolded((was) => !was)
  const releaseKeys = useRef<() => void>(undefined)
  const openPalette = () => {
    // Text typed before the palette's code has loaded belongs in its field.
    releaseKeys.current = heldKeys.hold()
    setOpen('palette')
  }
  useKeys({
    fold,
    opening: open !== undefined,
    palette: openPalette,
    allKeys: () => setOpen('keys'),
  })
  const general = useMemo<Command[]>(
    () => [
      { id: 'go new', word: 'New run', keys: 'n', to: '/new' },
      { id: 'go runs', word: 'Runs', keys: 'g r', to: '/runs' },
      { id: 'go failed', word: 'Failed runs', about: 'status:failed', to: '/runs?status=failed' },
      { id: 'go sessions', word: 'Sessions', keys: 'g s', to: '/sessions' },
      { id: 'go tasks', word: 'Tasks', keys: 'g t', to: '/tasks' },
      { id: 'go runners', word: 'Runners', keys: 'g m', to: '/settings/runners' },
      { id: 'go settings', word: 'Settings', to: '/settings/me' },
      { id: 'theme light', word: 'Light theme', act: () => chooseTheme('light') },
      { id: 'theme dark', word: 'Dark theme', act: () => chooseTheme('dark') },
      { id: 'theme system', word: 'System theme', act: () => chooseTheme('system') },
      { id: 'fold', word: 'Collapse sidebar', keys: '[', act: () => setFolded((was) => !was) },
    ],
    [],
  )
  useEffect(() => {
    // Tell the other tabs; the hub itself has told the one that asked.
    whenRefused(() => {
      setExpired(true)
      liveRuns.announceSessionEnded()
    })
    liveRuns.whenSessionEnded(() => setExpired(true))
    whenSessionBack(() => {
      setExpired(false)
      void client.invalidateQueries()
    })
    liveRuns.start()
    const stop = keepRunsLive(client)
    // Fetch it ahead of its use, but after everything the page itself needs.
    if (typeof requestIdleCallback === 'function')
      requestIdleCallback(() => {
        void loadPalette()
        // These open at once, even while the hub is away.
        for (const { to } of [...below, { to: '/settings/runners' }, { to: '/settings/me' }])
          navigation.fetch(to)
      })
    return () => {
      stop()
      liveRuns.stop()
    }
  }, [client])
  const count = needsYou.length
  useAttention(count)
  const runsName = count > 0 ? `Runs, ${count} ${count === 1 ? 'needs' : 'need'} you` : 'Runs'
  return (
    <div className="flex h-full max-sm:flex-col-reverse">
      {/* biome-ignore lint/a11y/useValidAnchor: it leads to a part of this page */}
      <a
        href="#content"
        className="button absolute -top-20 left-2 z-50 focus:top-2"
        onClick={(event) => {
          // With the page's base, the browser would take it for another address.
          event.preventDefault()
          document.getElementById('content')?.focus()
        }}
      >
        Skip to content
      </a>
      <nav
        aria-label="Errand"
        data-folded={folded || undefined}
        className="group flex w-[208px] shrink-0 flex-col border-r border-line bg-canvas p-2 data-folded:w-12 max-xl:w-12 max-sm:hidden"
      >
        <div className="mb-2 flex h-9 items-center justify-between px-2 group-data-folded:px-0.5 max-xl:px-0.5">
          <span className="group-data-folded:hidden max-xl:hidden">
            <Wordmark />
          </span>
          <span className="hidden group-data-folded:inline max-xl:inline">
            <Mark />
          </span>
          <button
            type="button"
            aria-label="Collapse sidebar"
            title="Collapse sidebar  ["
            className="reach text-ink2 hover:text-ink group-data-folded:hidden max-xl:hidden"
            onClick={() => setFolded(true)}
          >
            <PanelLeft size={15} strokeWidth={1.75} aria-hidden />
          </button>
        </div>
        <Link
          to="/new"
          aria-label="New run"
          className="mb-1.5 flex h-[30px] items-center gap-2 rounded-md border border-line2 bg-surface px-2 font-medium hover:bg-hover group-data-folded:px-1.5 max-xl:px-1.5 dark:bg-raised"
        >
          <Plus size={15} strokeWidth={1.75} aria-hidden />
          <span className="group-data-folded:hidden max-xl:hidden">New run</span>
          <kbd className="key ml-auto group-data-folded:hidden max-xl:hidden">N</kbd>
        </Link>
        <button
          type="button"
          aria-label="Search or do"
          className={`${entry} mb-2 font-normal!`}
          onPointerEnter={loadPalette}
          onFocus={loadPalette}
          onClick={openPalette}
        >
          <Search size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
          <span className="truncate group-data-folded:hidden max-xl:hidden">Search or do…</span>
          <kbd className="key ml-auto group-data-folded:hidden max-xl:hidden">{modifier} K</kbd>
        </button>
        <div className="flex flex-col gap-px">
          <Link
            to="/runs"
            className={entry}
            hereClass={here}
            isHere={section === 'runs'}
            aria-label={runsName}
          >
            <ListTree size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
            <span className="group-data-folded:hidden max-xl:hidden">Runs</span>
            {count > 0 && (
              <span className="ml-auto flex h-[18px] min-w-[18px] items-center justify-center rounded-full bg-ask-fill px-1 text-label font-semibold text-[#231700] group-data-folded:absolute group-data-folded:-top-1 group-data-folded:-right-1.5 max-xl:absolute max-xl:-top-1 max-xl:-right-1.5">
                {count}
              </span>
            )}
          </Link>
          <Link
            to="/sessions"
            className={entry}
            hereClass={here}
            isHere={section === 'sessions'}
            aria-label="Sessions"
          >
            <MessageSquare size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
            <span className="group-data-folded:hidden max-xl:hidden">Sessions</span>
          </Link>
          <Link
            to="/tasks"
            className={entry}
            hereClass={here}
            isHere={section === 'tasks'}
            aria-label="Tasks"
          >
            <GitPullRequest size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
            <span className="group-data-folded:hidden max-xl:hidden">Tasks</span>
          </Link>
          <hr className="mx-2 my-2 border-line" />
          <Link to="/settings/runners" className={entry} hereClass={here} aria-label="Runners">
            <Server size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
            <span className="group-data-folded:hidden max-xl:hidden">Runners</span>
          </Link>
          <Link
            to="/settings/me"
            className={`${entry} ${inSettings ? here : ''}`}
            aria-label="Settings"
            aria-current={inSettings ? 'true' : undefined}
          >
            <Settings size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
            <span className="group-data-folded:hidden max-xl:hidden">Settings</span>
          </Link>
        </div>
        <div className="mt-auto flex flex-col gap-1">
          <Suspense>
            {me !== undefined && (
              <NoticeBell me={me} className={entry} word="group-data-folded:hidden max-xl:hidden" />
            )}
          </Suspense>
          <div className="flex items-center justify-between px-2 text-meta text-ink2">
            <ConnectionDot />
            <span className="text-label group-data-folded:hidden max-xl:hidden">
              {me?.tenant} {me?.version === undefined ? '' : `· ${me.version}`}
            </span>
          </div>
          {me !== undefined && <PersonMenu me={me} />}
        </div>
      </nav>
      <nav
        aria-label="Errand, bottom bar"
        className="hidden h-16 shrink-0 items-stretch justify-around border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] max-sm:flex"
      >
        {below.map(({ to, word, Icon }) => (
          <Link
            key={to}
            to={to}
            className="relative flex flex-1 flex-col items-center justify-center gap-1 text-label text-ink2"
            hereClass="font-semibold text-ink!"
            isHere={to === `/${section}`}
            aria-label={word === 'Runs' ? runsName : undefined}
          >
            <Icon size={22} strokeWidth={1.75} aria-hidden />
            {word}
            {word === 'Runs' && count > 0 && (
              <span className="absolute top-1 left-1/2 ml-1 flex h-[18px] min-w-[18px] items-center justify-center rounded-full bg-ask-fill px-1 font-semibold text-[#231700]">
                {count}
              </span>
            )}
          </Link>
        ))}
        {me !== undefined && (
          <PersonMenu me={me} below>
            <Suspense>
              <NoticeBell me={me} className="button mb-1.5 w-full" word="" />
            </Suspense>
          </PersonMenu>
        )}
      </nav>
      <div
        id="content"
        tabIndex={-1}
        className="flex min-h-0 min-w-0 flex-1 flex-col bg-surface outline-none"
      >
        <ConnectionBanner />
        <UpdateNotice />
        {children}
      </div>
      <Suspense>{me !== undefined && <NoticeList me={me} />}</Suspense>
      <Suspense>
        {open === 'palette' && (
          <Palette
            needsYou={needsYou}
            general={general}
            tenant={me?.tenant}
            allKeys={() => setOpen('keys')}
            ready={() => releaseKeys.current?.()}
            close={() => setOpen((was) => (was === 'palette' ? undefined : was))}
          />
        )}
        {open === 'keys' && <KeysSheet close={() => setOpen(undefined)} />}
      </Suspense>
      {expired && <LoginAgain name={me?.name} />}
    </div>
  )
}

/** Asks for the password on top of the page, which keeps its content. */
function LoginAgain({ name }: { name: string | undefined }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal()
  }, [])
  return (
    <dialog
      ref={dialog}
      className="sheet max-w-[360px]"
      aria-labelledby="again"
      onCancel={(event) => event.preventDefault()}
    >
      <h2 id="again" className="mb-1 text-page font-semibold">
        Your login has expired
      </h2>
      <p className="mb-4 text-ink2">Log in again. Nothing on this page is lost.</p>
      <Suspense>
        <LoginForm name={name} done={async () => liveRuns.announceSessionBack()} />
      </Suspense>
    </dialog>
  )
}

export function NotThere() {
  return (
    <main className="flex h-full flex-col items-center justify-center gap-3">
      <h1 className="text-empty font-semibold">Page not found</h1>
      <a className="button" href={`${basePath}/runs`}>
        Back to runs
      </a>
    </main>
  )
}

/** Says that a page cannot be shown. If the hub did not deliver its code, it is tried again once the hub is back. */
export function Trouble({ error, again }: { error: unknown; again: () => void }) {
  // The hub is newer than the page and no longer has the page's parts.
  const isUnloaded = /dynamically imported module|module script failed|preload CSS/i.test(String(error))
  const { state } = useConnection()
  const isAway = isUnloaded && state === 'away'
  const wasAway = useRef(false)
  const tryAgain = useRef(again)
  tryAgain.current = again
  useEffect(() => {
    if (wasAway.current && !isAway) tryAgain.current()
    wasAway.current = isAway
  }, [isAway])
  const words = isAway
    ? "The hub isn't responding, and this page was not loaded before. It loads when the hub is back."
    : isUnloaded
      ? "A part of the page could not be loaded. Either Errand was updated, or the hub isn't responding."
      : error instanceof Error
        ? error.message
        : String(error)
  return (
    <main className="flex h-full flex-col items-center justify-center gap-3 px-4 text-center">
      <h1 className="text-empty font-semibold">This page could not be shown</h1>
      <p className="text-ink2">{words}</p>
      <button
        type="button"
        className="button"
        onClick={() => (isUnloaded && !isAway ? location.reload() : again())}
      >
        {isUnloaded && !isAway ? 'Reload' : 'Try again'}
      </button>
    </main>
  )
}
