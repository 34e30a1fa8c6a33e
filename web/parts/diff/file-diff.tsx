import { Plus } from 'lucide-react'
import { type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { changedWords, type Part, pairsOf } from './changed-words.ts'
import { type Draft, isAt } from './drafts.ts'
import type { DiffFile, DiffLine, Hunk } from './parse-diff.ts'
import { Shown } from './shown-text.tsx'

const ROW = 19
const AROUND = 20
const MOST_CHARACTERS = 2000
/** Assumed height in pixels of a comment that was not measured yet. */
const BLOCK = 120

type Row = { head: string } | { line: DiffLine; hunk: Hunk }

interface Props {
  file: DiffFile
  drafts: readonly Draft[]
  /** Absent if lines take no comments. */
  put: ((draft: Draft) => void) | undefined
}

const rowsOf = ({ hunks }: DiffFile): Row[] =>
  hunks.flatMap((hunk) => [{ head: hunk.head }, ...hunk.lines.map((line) => ({ line, hunk }))])

const placeOf = (path: string, { kind, before, after, text }: DiffLine): Omit<Draft, 'text'> =>
  kind === 'removed'
    ? { path, side: 'before', line: before!, quote: text }
    : { path, side: 'after', line: after!, quote: text }

/** Shows the lines of one file's change; only those in view are in the page. */
export function FileDiff({ file, drafts, put }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600, width: 600 })
  const [writing, setWriting] = useState<ReadonlySet<number>>(new Set())
  const [current, setCurrent] = useState(1)
  const [heights, setHeights] = useState<ReadonlyMap<number, number>>(new Map())
  const toFocus = useRef(false)
  const rows = useMemo(() => rowsOf(file), [file])
  const longest = useMemo(
    () => rows.reduce((most, row) => Math.max(most, 'head' in row ? 0 : row.line.text.length), 0),
    [rows],
  )
  const mine = useMemo(() => drafts.filter(({ path }) => path === file.path), [drafts, file])
  const drafted = useMemo(() => {
    const found = new Map<number, Draft>()
    if (mine.length > 0)
      rows.forEach((row, index) => {
        if ('head' in row) return
        const draft = mine.find((one) => isAt(one, placeOf(file.path, row.line)))
        if (draft !== undefined) found.set(index, draft)
      })
    return found
  }, [rows, mine, file])
  const blocks = [...new Set([...drafted.keys(), ...writing])].sort((a, b) => a - b)
  const heightOf = (row: number) => heights.get(row) ?? BLOCK
  const before = (row: number) =>
    row * ROW + blocks.reduce((sum, block) => (block < row ? sum + heightOf(block) : sum), 0)
  const rowAt = (px: number) => {
    let row = Math.floor(px / ROW)
    for (const block of blocks)
      if (before(block) + ROW < px)
        row = Math.max(block, Math.floor((px - before(block + 1)) / ROW) + block + 1)
    return row
  }
  const first = Math.max(0, rowAt(view.top) - AROUND)
  const last = Math.min(rows.length, rowAt(view.top + view.height) + AROUND)
  const all = before(rows.length)

  useLayoutEffect(() => {
    const { current: element } = box
    if (element === null) return
    const measure = () =>
      setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth })
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    if (!toFocus.current) return
    toFocus.current = false
    box.current?.querySelector<HTMLElement>('[data-line][tabindex="0"]')?.focus({ preventScroll: true })
  })
  const open = (index: number, isOpen: boolean) => {
    const next = new Set(writing)
    if (isOpen) next.add(index)
    else next.delete(index)
    setWriting(next)
  }
  const move = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined || put === undefined || !(event.target as HTMLElement).matches('[data-line]'))
      return
    event.preventDefault()
    let next = current + step
    while (rows[next] !== undefined && 'head' in rows[next]!) next += step
    if (rows[next] === undefined) return
    const element = box.current!
    const top = before(next)
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = top + ROW - element.clientHeight
    toFocus.current = true
    setCurrent(next)
  }
  const inView = current >= first && current < last ? current : first
  return (
    <section
      ref={box}
      aria-label={`Change of ${file.path}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
      tabIndex={0}
      className="min-h-0 flex-1 overflow-auto overscroll-contain font-mono text-[0.75rem] leading-[19px] focus-visible:-outline-offset-2"
      onScroll={({ currentTarget: element }) =>
        setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth })
      }
      onKeyDown={move}
    >
      <div
        className="min-w-full [tab-size:4]"
        style={{ height: all, width: `calc(${Math.min(longest, MOST_CHARACTERS) + 4}ch + 116px)` }}
      >
        <div style={{ height: before(first) }} />
        {rows.slice(first, last).map((row, offset) => {
          const index = first + offset
          if ('head' in row)
            return (
              <div key={index} className="h-[19px] truncate bg-idle pl-[100px] whitespace-pre text-ink2">
                <Shown text={row.head} />
              </div>
            )
          const draft = drafted.get(index)
          return (
            <div key={index}>
              <LineRow
                row={row}
                hasDraft={draft !== undefined}
                focusable={index === inView}
                comment={
                  put &&
                  (() => {
                    setCurrent(index)
                    open(index, true)
                  })
                }
              />
              {(draft !== undefined || writing.has(index)) && put !== undefined && (
                <Block
                  width={view.width}
                  measured={(height) => {
                    if (heights.get(index) !== height) setHeights(new Map(heights).set(index, height))
                  }}
                >
                  <Comment
                    place={placeOf(file.path, row.line)}
                    draft={draft}
                    writing={writing.has(index)}
                    write={(isOpen) => open(index, isOpen)}
                    put={put}
                  />
                </Block>
              )}
            </div>
          )
        })}
      </div>
    </section>
  )
}

const tones = {
  same: { row: 'bg-surface', mark: '', sign: ' ' },
  added: { row: 'bg-(--add)', mark: 'bg-(--add2)', sign: '+' },
  removed: { row: 'bg-(--del)', mark: 'bg-(--del2)', sign: '−' },
} as const

const pairs = new WeakMap<Hunk, Map<DiffLine, DiffLine>>()
const words = new WeakMap<DiffLine, Part[] | undefined>()

/** Returns the parts of a line that has a counterpart. */
function partsOf(line: DiffLine, hunk: Hunk): Part[] | undefined {
  if (line.kind === 'same') return undefined
  if (words.has(line)) return words.get(line)
  let known = pairs.get(hunk)
  if (known === undefined) {
    known = pairsOf(hunk)
    pairs.set(hunk, known)
  }
  const other = known.get(line)
  if (other === undefined) return undefined
  const [removed, added] = line.kind === 'removed' ? [line, other] : [other, line]
  const parts = changedWords(removed.text, added.text)
  words.set(removed, parts?.[0])
  words.set(added, parts?.[1])
  return words.get(line)
}

interface LineProps {
  row: { line: DiffLine; hunk: Hunk }
  hasDraft: boolean
  focusable: boolean
  comment: (() => void) | undefined
}

function LineRow({ row: { line, hunk }, hasDraft, focusable, comment }: LineProps) {
  const tone = tones[line.kind]
  const parts = partsOf(line, hunk)
  const cut = line.text.length > MOST_CHARACTERS
  const number = line.after ?? line.before
  const word = { same: 'unchanged', added: 'added', removed: 'removed' }[line.kind]
  const numbers = (
    <>
      <span className="w-9 shrink-0 text-right">{line.before ?? ''}</span>
      <span className="w-9 shrink-0 text-right">{line.after ?? ''}</span>
    </>
  )
  return (
    <div className={`group/line flex h-[19px] ${tone.row}`}>
      <span
        className={`sticky left-0 z-[1] flex w-[100px] shrink-0 items-center gap-0.5 text-label text-ink2 select-none ${tone.row}`}
      >
        {comment === undefined ? (
          numbers
        ) : (
          <button
            type="button"
            data-line
            tabIndex={focusable ? 0 : -1}
            aria-label={`Comment on line ${number}, ${word}`}
            className="flex h-[19px] items-center gap-0.5 hover:text-accent focus-visible:-outline-offset-1"
            onClick={comment}
          >
            {numbers}
            <Plus
              size={12}
              strokeWidth={2.5}
              aria-hidden
              className={`absolute left-0 rounded bg-accent text-surface ${hasDraft ? 'hidden' : 'opacity-0 group-hover/line:opacity-100 group-focus-within/line:opacity-100'}`}
            />
          </button>
        )}
        <span
          className={`ml-auto pr-2 text-meta ${line.kind === 'added' ? 'text-ok' : line.kind === 'removed' ? 'text-bad' : ''}`}
        >
          {tone.sign}
        </span>
      </span>
      <span className="whitespace-pre">
        {cut ? (
          <>
            <Shown text={line.text.slice(0, MOST_CHARACTERS)} />
            <span className="text-ink2">
              {' '}
              … {(line.text.length - MOST_CHARACTERS).toLocaleString('en')} more characters
            </span>
          </>
        ) : parts === undefined ? (
          <Shown text={line.text} />
        ) : (
          parts.map(({ text, changed }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
            <span key={index} className={changed ? `rounded-[2px] ${tone.mark}` : undefined}>
              <Shown text={text} />
            </span>
          ))
        )}
        {line.unended && <span className="text-ink2 select-none"> no newline at end of file</span>}
      </span>
    </div>
  )
}

function Block({
  width,
  measured,
  children,
}: {
  width: number
  measured: (height: number) => void
  children: ReactNode
}) {
  const block = useRef<HTMLDivElement>(null)
  const report = useRef(measured)
  report.current = measured
  useLayoutEffect(() => {
    const element = block.current!
    const observer = new ResizeObserver(() => report.current(element.offsetHeight))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return (
    <div
      ref={block}
      className="sticky left-0 bg-surface py-2 pr-4 pl-[76px] font-sans max-sm:pl-3"
      style={{ width }}
    >
      {children}
    </div>
  )
}

interface CommentProps {
  place: Omit<Draft, 'text'>
  draft: Draft | undefined
  writing: boolean
  write: (isOpen: boolean) => void
  put: (draft: Draft) => void
}

/** Shows a comment that is being written, or is stored as a draft. */
function Comment({ place, draft, writing, write, put }: CommentProps) {
  const [text, setText] = useState(draft?.text ?? '')
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (writing) field.current?.focus({ preventScroll: true })
  }, [writing])
  const keep = () => {
    put({ ...place, text })
    write(false)
  }
  const leave = useRef(() => {})
  leave.current = () => {
    if (writing && text.trim() !== '') put({ ...place, text })
  }
  useEffect(() => {
    // After a reload or a logout, the text is there as a draft.
    const left = () => leave.current()
    addEventListener('pagehide', left)
    return () => removeEventListener('pagehide', left)
  }, [])
  const where = `line ${place.line}${place.side === 'before' ? ' before the change' : ''}`
  if (!writing)
    return (
      <div className="rounded-lg border border-line2 bg-surface text-body">
        <p className="px-3 pt-2 text-meta text-ink2">{where} · draft, only you can see it</p>
        <p className="px-3 pt-0.5 pb-2 break-words whitespace-pre-wrap">{draft?.text}</p>
        <p className="flex gap-1 rounded-b-lg border-t border-line bg-sunken px-1.5 py-1">
          <button type="button" className="button button-plain" onClick={() => write(true)}>
            Edit
          </button>
          <button type="button" className="button button-plain" onClick={() => put({ ...place, text: '' })}>
            Discard
          </button>
        </p>
      </div>
    )
  return (
    <form
      className="rounded-lg border border-accent bg-surface p-2 text-body"
      onSubmit={(event) => {
        event.preventDefault()
        keep()
      }}
    >
      <label className="mb-1 block px-1 text-meta text-ink2" htmlFor={`comment-${place.side}-${place.line}`}>
        Comment on {where}
      </label>
      <textarea
        ref={field}
        id={`comment-${place.side}-${place.line}`}
        className="field h-16! w-full resize-y py-1.5"
        value={text}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={(event) => {
          event.stopPropagation()
          if (event.key === 'Escape') write(false)
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) keep()
        }}
      />
      <p className="mt-2 flex gap-2">
        <button type="submit" className="button" aria-disabled={text.trim() === ''}>
          Save draft <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
        </button>
        <button type="button" className="button button-plain" onClick={() => write(false)}>
          Cancel
        </button>
      </p>
    </form>
  )
}
