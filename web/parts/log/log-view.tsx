import { ArrowDownToLine, Download } from 'lucide-react'
import { useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { address } from '../../data/api.ts'
import type { RunFeed } from '../../data/run-feed.ts'
import { outputPath } from '../../data/runs.ts'
import { piecesOf } from './ansi.ts'
import { LogSource } from './log-source.ts'

const ROW = 20
const MOST_CHARACTERS = 2000

interface Props {
  run: string
  attempt: number
  feed: RunFeed
  running: boolean
  /** The fragment that names its lines, such as `step:build@host`. */
  name: string
  /** Lines that a link has named. */
  marked?: readonly [number, number] | undefined
  /** Told of a click on a line's number. */
  link?: (from: number, to: number) => void
}

function figure(value: number): string {
  return value.toLocaleString('en')
}

/** One attempt's log: only the lines in view are in the page; it follows the end until one scrolls away from it. */
export function LogView({ run, attempt, feed, running, name, marked, link }: Props) {
  const source = useMemo(() => new LogSource(run, attempt, feed), [run, attempt, feed])
  useEffect(() => () => source.stop(), [source])
  useSyncExternalStore(source.watch, () => source.version)
  const lines = source.lines.all
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600 })
  const [following, setFollowing] = useState(true)
  const [pausedAt, setPausedAt] = useState(0)
  const [whole, setWhole] = useState<ReadonlySet<number>>(new Set())
  const placed = useRef(false)

  useLayoutEffect(() => {
    const { current } = box
    if (current === null) return
    const measure = () => setView({ top: current.scrollTop, height: current.clientHeight })
    const observer = new ResizeObserver(measure)
    observer.observe(current)
    return () => observer.disconnect()
  }, [])
  // A link's lines first; of a failed attempt its last words, the end, which following shows as well.
  useLayoutEffect(() => {
    const { current } = box
    if (current === null) return
    if (!placed.current && marked !== undefined) {
      if (lines.length < marked[0]) return
      placed.current = true
      setFollowing(false)
      setPausedAt(lines.length)
      current.scrollTop = (marked[0] - 4) * ROW
    } else if (following) current.scrollTop = current.scrollHeight
  })

  const scrolled = () => {
    const { current } = box
    if (current === null) return
    const atEnd = current.scrollTop + current.clientHeight >= current.scrollHeight - ROW / 2
    if (atEnd && !following) setFollowing(true)
    setView({ top: current.scrollTop, height: current.clientHeight })
  }
  const pause = () => {
    const { current } = box
    if (!following || current === null || current.scrollHeight <= current.clientHeight) return
    setFollowing(false)
    setPausedAt(lines.length)
  }
  const toEnd = () => setFollowing(true)
  const copied = (event: React.ClipboardEvent) => {
    const text = getSelection()?.toString()
    if (!text) return
    event.preventDefault()
    event.clipboardData.setData('text/plain', text)
  }

  const first = Math.max(0, Math.floor(view.top / ROW) - 20)
  const last = Math.min(lines.length, Math.ceil((view.top + view.height) / ROW) + 20)
  const numbered = source.leftOut === 0
  return (
    <div className="relative flex min-h-0 flex-1 flex-col bg-sunken">
      <div className="flex h-9 shrink-0 items-center gap-3 border-b border-line px-4 text-meta text-ink3">
        <span>
          {numbered
            ? `${figure(lines.length)} ${lines.length === 1 ? 'line' : 'lines'}`
            : `the last ${figure(lines.length)} lines; ${figure(source.leftOut)} bytes before them are in Raw`}
        </span>
        <span className="ml-auto flex items-center gap-3">
          {(['stdout', 'stderr'] as const).map((stream) => (
            <a
              key={stream}
              className="inline-flex h-6 items-center gap-1 hover:text-ink"
              href={address(outputPath(run, attempt, stream))}
              download={`${run}.${attempt}.${stream}.txt`}
            >
              <Download size={13} strokeWidth={1.75} aria-hidden /> {stream}
            </a>
          ))}
        </span>
      </div>
      <section
        ref={box}
        aria-label={`Log of ${name}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        className="min-h-0 flex-1 overflow-auto overscroll-contain font-mono text-[0.78125rem] leading-5 focus-visible:-outline-offset-2"
        onScroll={scrolled}
        onWheel={({ deltaY }) => deltaY < 0 && pause()}
        onPointerDown={({ target }) => target === box.current && pause()}
        onTouchMove={pause}
        onCopy={copied}
        onKeyDown={({ key }) => {
          if (['PageUp', 'ArrowUp', 'Home'].includes(key)) pause()
          if (key === 'End') toEnd()
        }}
      >
        <div className="relative min-w-max" style={{ height: lines.length * ROW + 24 }}>
          {lines.slice(first, last).map((line, index) => {
            const number = first + index + 1
            const isMarked = marked !== undefined && number >= marked[0] && number <= marked[1]
            const isCut = line.text.length > MOST_CHARACTERS && !whole.has(number)
            return (
              <div
                key={number}
                className={`absolute flex h-5 w-full whitespace-pre ${line.stderr ? 'shadow-[inset_3px_0_0_var(--bad)]' : ''} ${isMarked ? 'bg-sel' : ''}`}
                style={{ top: (number - 1) * ROW + 4 }}
              >
                {numbered && (
                  <button
                    type="button"
                    tabIndex={-1}
                    aria-label={`Link to line ${number}`}
                    className={`w-12 shrink-0 pr-3 text-right select-none hover:text-ink ${isMarked ? 'text-accent' : 'text-ink3'}`}
                    onClick={({ shiftKey }) =>
                      shiftKey && marked !== undefined
                        ? link?.(Math.min(marked[0], number), Math.max(marked[0], number))
                        : link?.(number, number)
                    }
                  >
                    {number}
                  </button>
                )}
                <span className="pr-4 pl-1">
                  {piecesOf(isCut ? line.text.slice(0, MOST_CHARACTERS) : line.text).map(
                    ({ text, classes }, at) => (
                      // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a line have no other name
                      <span key={at} className={classes}>
                        {text}
                      </span>
                    ),
                  )}
                  {isCut && (
                    <button
                      type="button"
                      className="ml-2 text-accent underline"
                      onClick={() => setWhole(new Set([...whole, number]))}
                    >
                      show {figure(line.text.length)} characters
                    </button>
                  )}
                </span>
              </div>
            )
          })}
        </div>
        {lines.length === 0 && (
          <p className="px-4 py-3 font-sans text-meta text-ink3">
            {source.failure instanceof Error
              ? source.failure.message
              : running
                ? 'Nothing is put out yet.'
                : 'It put nothing out.'}
          </p>
        )}
      </section>
      {running && (
        <button
          type="button"
          onClick={following ? pause : toEnd}
          className="absolute right-4 bottom-4 flex items-center gap-2 rounded-full border border-line bg-raised px-3 py-1.5 text-meta"
          style={{ boxShadow: 'var(--float)' }}
        >
          {following ? (
            <>
              <span className="size-1.5 rounded-full bg-accent" />
              <span className="font-medium">Following</span>
              <span className="text-ink3 max-sm:hidden">scroll up to stop</span>
            </>
          ) : (
            <>
              <ArrowDownToLine size={13} strokeWidth={1.75} aria-hidden />
              <span className="font-medium">Paused at line {figure(pausedAt)}</span>
              <span className="text-ink3">{figure(lines.length - pausedAt)} new</span>
            </>
          )}
        </button>
      )}
    </div>
  )
}
