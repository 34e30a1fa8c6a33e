import { Bell, X } from 'lucide-react'
import { type MouseEvent, type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { basePath, newKey } from '../data/api.ts'
import { mayAnswer } from '../data/approvals.ts'
import { exactTime, hubNow, timeOf, useNow } from '../data/clock.ts'
import { liveRuns } from '../data/live/live.ts'
import { wordsOf } from '../data/page-words.ts'
import { type Run, shownStatus } from '../data/runs.ts'
import type { Me } from '../data/session.ts'
import { navigation, useCurrentPage } from '../navigation/navigation.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { takeToasts } from '../parts/toast.ts'
import { type Notice, Notices } from './notices.ts'

let opened: { person: string; notices: Notices } | undefined

/** Returns the notices of the logged-in person: one list for all parts of the page. */
function noticesOf({ tenant, name }: Me): Notices {
  const person = `${tenant}/${name}`
  if (opened?.person !== person) opened = { person, notices: new Notices({ tenant, name }) }
  return opened.notices
}

function useNotices(me: Me) {
  const notices = noticesOf(me)
  const list = useSyncExternalStore(notices.watch, () => notices.list)
  const toasts = useSyncExternalStore(notices.watch, () => notices.toasts)
  return { notices, list, toasts }
}

const ends: Partial<Record<Run['status'], string>> = {
  success: 'succeeded',
  failed: 'failed',
  interrupted: 'was interrupted',
}

/** Returns the notice for a changed run: its end, or a question to this person. */
function newsOf(run: Run, me: Me, sinceMs: number): Omit<Notice, 'atMs'> | undefined {
  const { run_id, workflow_name: name, now } = run
  const to = pageOfRun(run_id)
  const question = now?.question
  if (shownStatus(run) === 'asks' && question !== undefined) {
    const may =
      question.kind === 'approval' ? mayAnswer(question.approvers, me, run.owner) : run.owner === me.name
    const at = question.kind === 'approval' ? `#question:${encodeURIComponent(question.step)}` : ''
    const id = `asks:${run_id}:${question.step}:${question.host ?? ''}:${question.text}`
    return may ? { id, kind: 'asks', text: `${name} asks: “${question.text}”`, to: `${to}${at}` } : undefined
  }
  const word = ends[run.status]
  if (word === undefined || run.owner !== me.name || run.parent_run_id !== undefined) return undefined
  if (Date.parse(run.finished_at ?? '') < sinceMs) return undefined
  const why = now?.failure === undefined ? '' : ` at ${now.failure.step}: ${wordsOf(now.failure.reason)}`
  return { id: `end:${run_id}`, kind: 'ended', text: `${name} ${word}${why}.`, to }
}

const pageOfRun = (run: string): string => `/runs/${encodeURIComponent(run)}`
const pageOf = ({ to = '' }: Pick<Notice, 'to'>): string => to.replace(/#.*/, '')
const pathHere = (): string => location.pathname.slice(basePath.length)

/** Reports whether the page of the run that a notice is about is open. */
const isOpened = (notice: Pick<Notice, 'to'>): boolean =>
  !document.hidden &&
  (pathHere() === pageOf(notice) ||
    // The page of a new run shows its output beside the text.
    (pathHere() === '/new' &&
      pageOf(notice) === pageOfRun(new URLSearchParams(location.search).get('from') ?? '')))

/** Reports whether the subject of a notice is on the screen anyway. */
function isOnScreen(notice: Pick<Notice, 'to' | 'kind'>, run: string): boolean {
  if (document.hidden) return false
  if (isOpened(notice)) return true
  if (notice.kind === 'asks') return pathHere() === '/runs'
  return document.querySelector(`[data-run="${CSS.escape(run)}"]`) !== null
}

/** Shows toasts, and the list behind the bell; notices come from the stream and from actions. */
export function NoticeList({ me }: { me: Me }) {
  const { notices, list, toasts } = useNotices(me)
  useEffect(() => {
    const sinceMs = hubNow()
    const onRun = (run: Run) => {
      const news = newsOf(run, me, sinceMs)
      if (news === undefined) return
      notices.add({ ...news, atMs: hubNow() }, isOnScreen(news, run.run_id))
    }
    const stopToasts = takeToasts(({ id = newKey(), ...one }) => notices.add({ ...one, id, atMs: hubNow() }))
    const stopRead = liveRuns.read(onRun, () => undefined, onRun)
    return () => {
      stopToasts()
      stopRead()
    }
  }, [me, notices])
  const place = useCurrentPage()
  useEffect(() => {
    // These subjects are now on the screen.
    const isAnswerable = ({ kind, seen }: Notice) => !seen && (kind === 'asks' || kind === 'ended')
    if (place !== undefined)
      for (const { id } of notices.list.filter((one) => isAnswerable(one) && isOpened(one))) notices.see(id)
  }, [notices, place])
  return (
    <>
      <Panel notices={notices} list={list} />
      <section
        aria-label="Toasts"
        className="pointer-events-none fixed right-4 bottom-4 z-50 flex w-[min(26rem,calc(100vw-2rem))] flex-col gap-2 max-sm:bottom-20"
      >
        {toasts.map((notice) => (
          <Toast key={notice.id} notice={notice} close={() => notices.dismiss(notice.id)} />
        ))}
      </section>
    </>
  )
}

const STAYS_MS = 6000

function Toast({ notice, close }: { notice: Notice; close: () => void }) {
  const [held, setHeld] = useState(false)
  const stays = held || notice.kind === 'failed'
  const gone = useRef(close)
  gone.current = close
  useEffect(() => {
    if (stays) return
    const timer = setTimeout(() => gone.current(), STAYS_MS)
    return () => clearTimeout(timer)
  }, [stays])
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it stays while it is looked at
    <div
      role={notice.kind === 'asks' || notice.kind === 'failed' ? 'alert' : 'status'}
      data-toast={notice.kind}
      className="pointer-events-auto flex items-start gap-2.5 rounded-lg border border-line bg-surface px-3 py-2.5 shadow-(--float) dark:bg-raised"
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      <NoticeText notice={notice} after={close} />
      <button
        type="button"
        aria-label="Close"
        className="-my-1 -mr-1 flex size-7 shrink-0 items-center justify-center rounded-md text-ink2 hover:bg-hover hover:text-ink max-sm:size-11"
        onClick={close}
      >
        <X size={14} strokeWidth={1.75} aria-hidden />
      </button>
    </div>
  )
}

function mark({ kind, text }: Notice) {
  if (kind === 'asks') return 'asks' as const
  if (kind === 'failed' || / failed(?: at |\.$)/.test(text)) return 'failed' as const
  return / was interrupted/.test(text) ? ('interrupted' as const) : ('success' as const)
}

/** Shows a notice with its mark and, if it leads somewhere, a link. */
function NoticeText({ notice, after, time }: { notice: Notice; after: () => void; time?: ReactNode }) {
  const { to } = notice
  const go = (event: MouseEvent) => {
    if (to === undefined || event.metaKey || event.ctrlKey || event.shiftKey) return
    event.preventDefault()
    after()
    void navigation.go(to)
  }
  return (
    <>
      <span className="mt-px shrink-0">
        <StatusMark shown={mark(notice)} beside />
      </span>
      <span className="min-w-0 flex-1">
        <bdi className="line-clamp-3 break-words">{notice.text}</bdi>
        {notice.hint !== undefined && <span className="block text-meta text-ink2">{notice.hint}</span>}
        {time}
      </span>
      {to !== undefined && (
        <a href={`${basePath}${to}`} className="shrink-0 font-semibold hover:underline" onClick={go}>
          Open
        </a>
      )}
    </>
  )
}

function Panel({ notices, list }: { notices: Notices; list: readonly Notice[] }) {
  const now = useNow()
  const [open, setOpen] = useState(false)
  const panel = useRef<HTMLDivElement>(null)
  const close = () => panel.current?.hidePopover()
  return (
    <div
      ref={panel}
      id="notices"
      popover="auto"
      role="dialog"
      aria-labelledby="notices-title"
      onToggle={({ newState }) => {
        setOpen(newState === 'open')
        if (newState === 'closed') notices.markSeen()
      }}
      className="fixed inset-auto bottom-4 left-[216px] m-0 max-h-[70%] w-[min(26rem,calc(100vw-1rem))] overflow-y-auto rounded-xl border border-line bg-raised p-0 text-ink shadow-(--float) max-xl:left-14 max-sm:right-2 max-sm:bottom-18 max-sm:left-2 max-sm:w-auto"
    >
      <header className="sticky top-0 flex h-11 items-center gap-2 border-b border-line bg-raised px-4">
        <h2 id="notices-title" className="font-semibold">
          Notifications
        </h2>
        {list.length > 0 && (
          <button type="button" className="button button-plain ml-auto" onClick={() => notices.clear()}>
            Clear
          </button>
        )}
      </header>
      {!open ? null : list.length === 0 ? (
        <p className="px-4 py-8 text-center text-ink2">
          Nothing yet. Runs that end or ask you something while you are on another page are listed here.
        </p>
      ) : (
        <ul>
          {list.map((notice) => (
            <li
              key={notice.id}
              className={`flex items-start gap-2.5 border-b border-line px-4 py-2.5 last:border-b-0 ${notice.seen ? '' : 'shadow-[inset_3px_0_0_var(--accent)]'}`}
            >
              <NoticeText
                notice={notice}
                after={close}
                time={
                  <time
                    className="block text-label text-ink2"
                    dateTime={new Date(notice.atMs).toISOString()}
                    title={exactTime(new Date(notice.atMs).toISOString())}
                  >
                    {timeOf(new Date(notice.atMs).toISOString(), now)}
                  </time>
                }
              />
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

/** Opens the list, and shows how many notices are unseen. */
export function NoticeBell({ me, className, word }: { me: Me; className: string; word: string }) {
  const { notices } = useNotices(me)
  const unseen = useSyncExternalStore(notices.watch, () => notices.unseen)
  return (
    <button
      type="button"
      popoverTarget="notices"
      className={className}
      // On a phone the bell is in a sheet, which would be below the list.
      onClick={({ currentTarget }) => currentTarget.closest<HTMLElement>('[popover]')?.hidePopover()}
      aria-label={unseen > 0 ? `Notifications, ${unseen} new` : 'Notifications'}
    >
      <Bell size={15} strokeWidth={1.75} aria-hidden className="shrink-0" />
      <span className={word}>Notifications</span>
      {unseen > 0 && <span className={`ml-auto text-meta font-semibold text-accent ${word}`}>{unseen}</span>}
    </button>
  )
}
