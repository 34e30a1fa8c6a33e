import { ChevronDown, ChevronRight } from 'lucide-react'
import { memo } from 'react'
import type { Line } from '../../../src/contract/run-api.ts'
import { piecesOf, plainText } from './ansi.ts'

const sizes = ['bytes', 'KB', 'MB', 'GB'] as const

/** Formats a number of bytes for people: `1.2 MB`. */
export function sizeText(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < sizes.length - 1; unit++) value /= 1024
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${sizes[unit]}`
}

interface Props {
  number: number
  /** Absent while the line is being fetched. */
  line: Line | undefined
  /** The ranges of the line that match the search. */
  hits: readonly (readonly [number, number])[] | undefined
  isCurrent: boolean
  isMarked: boolean
  wrap: boolean
  times: boolean
  link: (number: number, extend: boolean) => void
  showWhole: (number: number) => void
  /** Title of the group that begins with this line and folds. */
  group?: string | undefined
  size?: number | undefined
  isFolded?: boolean | undefined
  fold: (number: number) => void
}

/** Shows a line of a log: its number, which links to it, and its text. Lines of standard error have a red edge. */
export const LogRow = memo(function LogRow({
  number,
  line,
  hits,
  isCurrent,
  isMarked,
  wrap,
  times,
  link,
  showWhole,
  group,
  size,
  isFolded,
  fold,
}: Props) {
  const edge = line?.stream === 'stderr' ? 'shadow-[inset_3px_0_0_var(--bad)]' : ''
  return (
    <div
      data-line={number}
      className={`flex min-h-5 ${wrap ? 'whitespace-pre-wrap' : 'h-5 whitespace-pre'} ${edge} ${isMarked ? 'bg-sel' : ''}`}
    >
      <button
        type="button"
        tabIndex={-1}
        aria-label={`Link to line ${number}`}
        className={`h-5 min-w-[max(3.5rem,calc(var(--digits)*1ch+1.25rem))] shrink-0 self-start pr-3 pl-2 text-right select-none hover:text-ink max-sm:min-w-[max(2.5rem,calc(var(--digits)*1ch+1rem))] max-sm:pr-2 ${isMarked ? 'text-accent' : 'text-ink3'}`}
        onClick={({ shiftKey }) => link(number, shiftKey)}
      >
        {number}
      </button>
      {times && line !== undefined && (
        <time className="shrink-0 pr-3 text-ink3 select-none" dateTime={line.time} title={line.time}>
          {new Date(line.time).toTimeString().slice(0, 8)}
        </time>
      )}
      <span className={`pr-4 pl-1 ${wrap ? 'min-w-0 flex-1 [overflow-wrap:anywhere]' : ''}`}>
        {line?.unordered && <Unordered />}
        {group !== undefined && (
          <button
            type="button"
            aria-expanded={!isFolded}
            className="inline-flex items-center gap-1.5 font-semibold hover:text-accent"
            onClick={() => fold(number)}
          >
            {isFolded ? (
              <ChevronRight size={13} strokeWidth={1.75} aria-hidden />
            ) : (
              <ChevronDown size={13} strokeWidth={1.75} aria-hidden />
            )}
            <bdi>{plainText(group) || 'Group'}</bdi>
            <span className="font-normal text-ink3">
              {size} {size === 1 ? 'line' : 'lines'}
            </span>
          </button>
        )}
        {line !== undefined && group === undefined && <Text line={line} hits={hits} isCurrent={isCurrent} />}
        {line?.length !== undefined && (
          <button
            type="button"
            className="ml-2 text-accent underline select-none"
            onClick={() => showWhole(number)}
          >
            show {sizeText(line.length)}
          </button>
        )}
      </span>
    </div>
  )
})

/** Marks a line whose place in the order is not known. */
const Unordered = () => (
  <span
    role="img"
    className="pr-2 text-ink3 select-none"
    title="stdout and stderr grew too fast to know their order. This line may belong more than 64 KB further up."
    aria-label="Order relative to the other stream unknown"
  >
    ≈
  </span>
)

function Text({ line, hits = [], isCurrent }: Pick<Props, 'hits' | 'isCurrent'> & { line: Line }) {
  // If the beginning of a line is left out, the places of its hits are unknown.
  const pieces = piecesOf(line.text, line.left_out === undefined ? hits : [])
  return pieces.map(({ text, classes, isHit, href }, at) => {
    if (isHit)
      return (
        <mark
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a line have no other name
          key={at}
          className={`rounded-xs ${classes} ${isCurrent ? 'log-current' : 'log-hit'}`}
        >
          {text}
        </mark>
      )
    if (href !== undefined)
      return (
        <a
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a line have no other name
          key={at}
          className={`underline decoration-line2 underline-offset-2 hover:decoration-current ${classes}`}
          href={href}
          target="_blank"
          rel="noopener noreferrer nofollow"
          tabIndex={-1}
        >
          {text}
        </a>
      )
    if (classes === '') return text
    return (
      // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a line have no other name
      <span key={at} className={classes}>
        {text}
      </span>
    )
  })
}
