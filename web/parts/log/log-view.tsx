import { ArrowDownToLine } from 'lucide-react'
import {
  type CSSProperties,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import type { RunFeed } from '../../data/run-feed.ts'
import { useLetters } from '../letters.ts'
import { type Find, LogBar, useFullScreen, useStored } from './log-bar.tsx'
import { Frames, frameOf } from './log-frames.ts'
import { GROUP_MARKS, type Group, groupsOf, hiddenLines } from './log-groups.ts'
import { LogLines } from './log-lines.ts'
import { LogRow, sizeText } from './log-row.tsx'
import { LogSearch } from './log-search.ts'
import { type Stream, useOtherStream } from './log-streams.ts'
import { RowOffsets } from './row-offsets.ts'
import { joined } from './stretches.ts'

const ROW = 20
const EDGE = 12
/** Browsers limit an element's height to some million pixels: a longer log scrolls by a scale. */
const MOST_PX = 8_000_000
const TYPING_MS = 250

interface Props {
  run: string
  attempt: number
  feed: RunFeed
  running: boolean
  /** The attempt has failed: the view starts at its last output on standard error. */
  failed?: boolean
  /** The fragment that names its lines, such as `step:build@host`. */
  name: string
  /** The lines that a link names. */
  marked?: readonly [number, number] | undefined
  /** Called when a person clicks a line's number. */
  link?: (from: number, to: number) => void
  /** The search from the address, and a function that changes it. */
  find?: Find
  setFind?: (find: Find) => void
  /** The only stream whose lines are shown, if any. */
  stream?: Stream | undefined
  setStream?: (stream: Stream | undefined) => void
}

const figure = (value: number) => value.toLocaleString('en')

/**
 * Shows one attempt's log. Only the lines in view are in the page; it follows the end until the person scrolls away.
 */
export function LogView({ run, attempt, feed, running, failed, name, marked, link, ...options }: Props) {
  const source = useMemo(() => new LogLines(run, attempt, feed), [run, attempt, feed])
  useEffect(() => () => source.stop(), [source])
  useEffect(() => source.setRunning(running), [source, running])
  useSyncExternalStore(source.watch, () => source.version)
  // Values of this render: when its effects run, there may be more lines.
  const { total, isKnown, behind, lastStderr } = source
  const box = useRef<HTMLDivElement>(null)
  const input = useRef<HTMLInputElement>(null)
  const rows = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600, width: 0 })
  const [following, setFollowing] = useState(marked === undefined && !options.find?.q)
  const [pausedAt, setPausedAt] = useState(0)
  const [wrap, setWrap] = useStored('wrap', () => matchMedia('(max-width: 639px)').matches)
  const [times, setTimes] = useStored('times', () => false)
  const [full, setFull] = useFullScreen()
  const [find, setFind] = useState<Find>(options.find ?? { q: '', re: false })
  const [sought, setSought] = useState<Find>(find)
  const [hit, setHit] = useState<number>()
  /** The line of the current hit. */
  const [at, setAt] = useState<number>()
  const placed = useRef(false)
  // A group folds by itself once it has ended, unless the person has folded or opened it.
  const marks = useMemo(() => new LogSearch(run, attempt, { q: GROUP_MARKS, re: true }), [run, attempt])
  useEffect(() => () => marks.stop(), [marks])
  useSyncExternalStore(marks.watch, () => marks.version)
  const { lastMark, ended } = source
  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines without a mark change no group
  useEffect(() => {
    if (lastMark > 0) void marks.grow(source.total)
  }, [marks, lastMark, ended])
  const [folds, setFolds] = useState<ReadonlyMap<number, boolean>>(new Map())
  // biome-ignore lint/correctness/useExhaustiveDependencies: the marks grow within
  const groups = useMemo(() => groupsOf(marks.lines, total), [marks, marks.version, total])
  // The line that the log was opened for stays in view.
  const candidates = [marked?.[0], failed ? source.lastStderr?.from : undefined, at]
  const isFolded = ({ from, to, isClosed }: Group) =>
    folds.get(from) ??
    (isClosed && !candidates.some((line) => line !== undefined && line > from && line <= to))
  // biome-ignore lint/correctness/useExhaustiveDependencies: a group is folded by the state named here
  const folded = useMemo(() => hiddenLines(groups, isFolded), [groups, folds, candidates.join()])
  const { stream } = options
  const others = useOtherStream(run, attempt, stream, behind === undefined ? total : 0)
  const hidden = useMemo(() => joined(folded, others), [folded, others])
  const byLine = useMemo(() => new Map(groups.map((group) => [group.from, group])), [groups])
  // biome-ignore lint/correctness/useExhaustiveDependencies: which are folded is known with what is hidden
  const fold = useCallback(
    (number: number) => {
      const group = byLine.get(number)
      if (group === undefined) return
      setFollowing(false)
      const isOpen = !isFolded(group)
      setFolds((was) => new Map(was).set(number, isOpen))
    },
    [byLine, hidden],
  )
  // Heights are valid for one width and one way of showing lines.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a row's height follows from them
  const tops = useMemo(() => new RowOffsets(ROW, hidden), [hidden, wrap, wrap && view.width, wrap && times])
  const topsBefore = useRef(tops)
  const [, measured] = useState(0)
  /** The line at the top, and how far it is scrolled out of view: it keeps its place when heights change. */
  const anchor = useRef({ line: 1, px: 0 })
  /** The line to go to once its group is open. */
  const goal = useRef<number>(undefined)
  const scrolledTo = useRef({ top: 0, height: 0, size: '' })
  const scaleBefore = useRef(1)

  const height = tops.top(total + 1) + 2 * EDGE
  const shownHeight = Math.min(height, MOST_PX)
  const scale = height > MOST_PX ? (height - view.height) / Math.max(1, shownHeight - view.height) : 1
  const top = view.top * scale - EDGE

  const pause = useCallback(() => {
    const { current } = box
    if (current === null || current.scrollHeight <= current.clientHeight) return
    setFollowing((was) => {
      if (was) setPausedAt(source.total)
      return false
    })
  }, [source])
  const toEnd = () => setFollowing(true)
  const noteScroll = ({ scrollTop, scrollHeight, clientHeight, clientWidth }: HTMLElement) => {
    scrolledTo.current = { top: scrollTop, height: scrollHeight, size: `${clientWidth} ${clientHeight}` }
  }
  const scrollTo = (px: number) => {
    const { current } = box
    if (current === null) return
    current.scrollTop = px / scale
    setView((was) => ({ ...was, top: current.scrollTop }))
  }
  const goTo = (line: number) => {
    if (following) setPausedAt(total)
    setFollowing(false)
    const around = groups.find(({ from, to }) => line > from && line <= to)
    if (around !== undefined && isFolded(around)) {
      // The group opens first; the view goes to the row once it exists.
      goal.current = line
      setFolds((was) => new Map(was).set(around.from, false))
      return
    }
    const px = Math.max(0, tops.top(line) + EDGE - Math.min(4 * ROW, view.height / 4))
    anchor.current = { line: tops.at(px - EDGE, total), px: 0 }
    scrollTo(px)
  }

  // The hub searches when typing pauses; the search grows with the log.
  useEffect(() => {
    if (find.q === sought.q && find.re === sought.re) return
    const timer = setTimeout(() => {
      setSought(find)
      options.setFind?.(find)
    }, TYPING_MS)
    return () => clearTimeout(timer)
  }, [find, sought, options.setFind])
  const search = useMemo(
    () => (sought.q === '' ? undefined : new LogSearch(run, attempt, sought, stream)),
    [run, attempt, sought, stream],
  )
  useEffect(() => {
    setHit(undefined)
    setAt(undefined)
    return () => search?.stop()
  }, [search])
  useSyncExternalStore(search?.watch ?? (() => () => {}), () => search?.version ?? 0)
  useEffect(() => {
    if (source.isKnown && source.behind === undefined) void search?.grow(total)
  }, [search, total, source.isKnown, source.behind])
  const show = (index: number) => {
    setHit(index)
    setAt(search!.numbers[index])
    goTo(search!.numbers[index]!)
  }
  const found = search?.numbers.length ?? 0
  // Go to the first hit at or below the top of the view, once there is one.
  // biome-ignore lint/correctness/useExhaustiveDependencies: where it is does not ask for it again
  useEffect(() => {
    if (search === undefined || hit !== undefined || found === 0) return
    const below = search.numbers.findIndex((number) => number >= anchor.current.line)
    if (below < 0 && !search.isExact) return
    if (marked === undefined || placed.current) show(below < 0 ? 0 : below)
  }, [search, search?.isExact, hit, found])
  const step = (by: 1 | -1) => {
    if (find.q !== sought.q || find.re !== sought.re) setSought(find)
    else if (found > 0) show(hit === undefined ? 0 : (hit + by + found) % found)
  }

  useLayoutEffect(() => {
    const { current } = box
    if (current === null) return
    const measure = () =>
      setView({ top: current.scrollTop, height: current.clientHeight, width: current.clientWidth })
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(current)
    return () => observer.disconnect()
  }, [])

  // A turn of the wheel scrolls as many lines as usual, though a pixel of the scroll bar covers several lines.
  useEffect(() => {
    const { current } = box
    if (current === null || scale === 1) return
    const turn = (event: WheelEvent) => {
      if (event.ctrlKey) return
      event.preventDefault()
      const px = event.deltaMode === 1 ? event.deltaY * ROW : event.deltaY
      current.scrollTop += Math.sign(px) * Math.max(1, Math.abs(px) / scale)
      current.scrollLeft += event.deltaX
    }
    current.addEventListener('wheel', turn, { passive: false })
    return () => current.removeEventListener('wheel', turn)
  }, [scale])

  // Text that a person selects must not move away.
  useEffect(() => {
    const selected = () => {
      const selection = getSelection()
      if (selection?.isCollapsed === false && box.current?.contains(selection.anchorNode)) pause()
    }
    document.addEventListener('selectionchange', selected)
    return () => document.removeEventListener('selectionchange', selected)
  }, [pause])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another log has frames of its own
  const frames = useMemo(() => new Frames(), [source])
  const { numbers, offset } = frames.choose(frameOf(tops, total, top, view.height), source.isHere)
  const { requestedLines: requested } = frames
  const requestedLines = requested.join()
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same numbers are the same lines
  useEffect(() => source.want(requested), [source, requestedLines])

  useLayoutEffect(() => {
    const { current } = box
    if (current === null || !isKnown) return
    // The height of a row that is higher than one line is known once it is rendered.
    let changed = topsBefore.current !== tops || scaleBefore.current !== scale
    topsBefore.current = tops
    scaleBefore.current = scale
    if (wrap)
      for (const row of rows.current?.children ?? []) {
        const { line } = (row as HTMLElement).dataset
        if (line === undefined) continue
        if (tops.set(Number(line), (row as HTMLElement).offsetHeight)) changed = true
      }
    if (goal.current !== undefined) {
      const line = goal.current
      goal.current = undefined
      return goTo(line)
    }
    if (!placed.current && behind === undefined) {
      placed.current = true
      if (marked !== undefined) return goTo(marked[0])
      if (failed && lastStderr !== undefined && !options.find?.q) {
        const { from } = lastStderr
        if (tops.top(from) < height - view.height) return goTo(from)
      }
    }
    if (following) {
      current.scrollTop = current.scrollHeight
      noteScroll(current)
    } else if (changed) {
      current.scrollTop = (tops.top(anchor.current.line) + anchor.current.px + EDGE) / scale
      measured((count) => count + 1)
    }
    if (following && changed) measured((count) => count + 1)
  })
  // A link leads to another line of the same log.
  const [markedFrom, markedTo] = marked ?? []
  const clicked = useRef<string>(undefined)
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another link moves the log
  useEffect(() => {
    if (markedFrom === undefined || !placed.current) return
    if (clicked.current !== `${markedFrom}-${markedTo}`) goTo(markedFrom)
    clicked.current = undefined
  }, [markedFrom, markedTo])

  const scrolled = () => {
    const { current } = box
    if (current === null) return
    const { scrollTop, scrollHeight, clientHeight } = current
    const before = scrolledTo.current
    noteScroll(current)
    if (following) {
      // The browser itself scrolls up when the view or its content changes: then the view goes to the end again.
      const isSameView = before.size === scrolledTo.current.size && scrollHeight >= before.height
      if (isSameView && scrollTop < before.top - ROW) pause()
    } else if (scrollTop + clientHeight >= scrollHeight - 2) setFollowing(true)
    const px = current.scrollTop * scale - EDGE
    const line = tops.at(px, total)
    anchor.current = { line, px: px - tops.top(line) }
    setView({ top: current.scrollTop, height: current.clientHeight, width: current.clientWidth })
  }
  const linkTo = useCallback(
    (number: number, extend: boolean) => {
      pause()
      const [from, to] =
        extend && markedFrom !== undefined
          ? [Math.min(markedFrom, number), Math.max(markedFrom, number)]
          : [number, number]
      clicked.current = `${from}-${to}`
      link?.(from, to)
    },
    [pause, link, markedFrom],
  )
  const showWhole = useCallback(
    (number: number) => void source.showWhole(number).catch(() => source.again()),
    [source],
  )
  // Letter keys count wherever nobody types.
  useLetters((key) => {
    if (key === 'w') setWrap(!wrap)
    else if (key === 't') setTimes(!times)
    else if (key === 'z') setFull(!full)
    else if (key === '/') input.current?.focus()
    else return false
  })
  const keys = (event: React.KeyboardEvent) => {
    const { key, target } = event
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === 'f') {
      // A second Ctrl+F opens the browser's own search.
      if (target === input.current) return
      event.preventDefault()
      input.current?.focus()
      input.current?.select()
      return
    }
    if (target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return
    if (['PageUp', 'ArrowUp', 'Home'].includes(key)) pause()
    if (key === 'End') toEnd()
    else if (scale > 1 && ['ArrowUp', 'ArrowDown', 'PageUp', 'PageDown'].includes(key)) {
      event.preventDefault()
      const px = key.startsWith('Page') ? view.height - 2 * ROW : 2 * ROW
      box.current!.scrollTop += (key.endsWith('Up') ? -px : px) / scale
    }
  }

  const shown = numbers.map((number) => {
    const group = byLine.get(number)
    return (
      <LogRow
        key={number}
        number={number}
        line={source.line(number)}
        hits={search?.ranges(number)}
        isCurrent={hit !== undefined && search?.numbers[hit] === number}
        isMarked={marked !== undefined && number >= marked[0] && number <= marked[1]}
        wrap={wrap}
        times={times}
        link={linkTo}
        showWhole={showWhole}
        group={group?.title}
        size={group && group.to - group.from - (group.isClosed ? 1 : 0)}
        isFolded={group && isFolded(group)}
        fold={fold}
      />
    )
  })
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the log and its bar, which have the focus themselves
    <div
      className={`flex min-h-0 flex-1 flex-col bg-sunken ${full ? 'fixed inset-0 z-40' : 'relative'}`}
      onKeyDown={keys}
    >
      <LogBar
        {...{ run, attempt, find, setFind, search, current: hit, step, input }}
        {...{ wrap, setWrap, times, setTimes, full, setFull, stream }}
        setStream={options.setStream}
        leave={() => box.current?.focus()}
        lines={
          source.behind === undefined ? (
            `${stream === undefined ? '' : `${figure(tops.count(total))} of `}${figure(total)} ${total === 1 ? 'line' : 'lines'}`
          ) : (
            <>
              counting lines, {sizeText(source.behind.done_bytes)} of {sizeText(source.behind.of_bytes)}
            </>
          )
        }
      />
      {source.missing > 0 && (
        <p className="shrink-0 border-b border-line bg-bad-soft px-4 py-1.5 text-meta text-bad">
          The hub no longer has {sizeText(source.missing)} of this log: lines are missing.
        </p>
      )}
      {source.failure instanceof Error && (
        <p
          role="alert"
          className="flex shrink-0 items-center gap-3 border-b border-line px-4 py-1.5 text-meta text-bad"
        >
          {source.failure.message}
          <button type="button" className="text-accent underline" onClick={() => source.again()}>
            Try again
          </button>
        </p>
      )}
      <div className="relative flex min-h-0 flex-1">
        <section
          ref={box}
          aria-label={`Log of ${name}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
          tabIndex={0}
          className={`min-h-0 flex-1 overflow-auto overscroll-contain [overflow-anchor:none] font-mono text-[0.78125rem] leading-5 focus-visible:-outline-offset-2 ${wrap ? 'overflow-x-hidden' : ''}`}
          onScroll={scrolled}
          onWheel={({ deltaY }) => deltaY < 0 && pause()}
          onPointerDown={({ target }) => target === box.current && pause()}
          onTouchMove={pause}
          onCopy={(event) => {
            const text = getSelection()?.toString()
            if (!text) return
            event.preventDefault()
            event.clipboardData.setData('text/plain', text)
          }}
        >
          <div className="relative overflow-y-clip" style={{ height: shownHeight }}>
            {/* Stays in view however far a scroll goes: the rows of the new place replace the earlier ones. */}
            <div className="sticky top-0 h-0">
              <div
                ref={rows}
                className={`absolute ${wrap ? 'inset-x-0' : 'min-w-full'}`}
                style={numbersStyle(total, offset)}
              >
                {shown}
              </div>
            </div>
          </div>
          {stream !== undefined && total > 0 && tops.count(total) === 0 && (
            <p className="absolute top-3 px-4 font-sans text-meta text-ink3">No lines on {stream}.</p>
          )}
          {total === 0 && source.isKnown && (
            <p className="absolute top-3 px-4 font-sans text-meta text-ink3">
              {running ? 'No output yet.' : 'No output.'}
            </p>
          )}
        </section>
        {search !== undefined && found > 0 && height > view.height && (
          <Marks numbers={search.numbers} total={total} />
        )}
      </div>
      {running && (
        <button
          type="button"
          onClick={following ? pause : toEnd}
          className="absolute right-4 bottom-4 flex h-8 items-center gap-2 rounded-full border border-line bg-raised px-3 text-meta max-sm:h-11 max-sm:px-4"
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
              <span className="text-ink3">{figure(Math.max(0, total - pausedAt))} new</span>
            </>
          )}
        </button>
      )}
    </div>
  )
}

/** Makes the texts of all rows line up, whatever their line numbers. */
const numbersStyle = (total: number, top: number) =>
  ({ top, '--digits': String(total).length }) as CSSProperties

/** Marks the places of the hits beside the scroll bar, as one background however many there are. */
function Marks({ numbers, total }: { numbers: readonly number[]; total: number }) {
  const parts = new Set(numbers.map((number) => Math.floor(((number - 1) / Math.max(1, total)) * 250)))
  const stops = [...parts]
    .sort((a, b) => a - b)
    .flatMap((part) => {
      const from = `${part * 0.4}%`
      const to = `calc(${part * 0.4}% + 2px)`
      return [`transparent ${from}`, `var(--ask-fill) ${from}`, `var(--ask-fill) ${to}`, `transparent ${to}`]
    })
  return (
    <div
      aria-hidden
      className="pointer-events-none absolute inset-y-0 right-0 w-1.5"
      style={{ backgroundImage: `linear-gradient(to bottom, ${stops.join(', ')})` }}
    />
  )
}
