import { useState } from 'react'

const MOST_LINES = 14
const MOST_CHARACTERS = 1200

/** A text of a run as it is; of a long one the beginning, until all of it is asked for. */
export function LongText({ text, className = '' }: { text: string; className?: string }) {
  const [isWhole, setIsWhole] = useState(false)
  const lines = text.split('\n')
  const start = lines.slice(0, MOST_LINES).join('\n').slice(0, MOST_CHARACTERS)
  const isLong = start.length < text.trimEnd().length
  return (
    <div className={className}>
      <bdi className="block break-words whitespace-pre-wrap">{isWhole || !isLong ? text : `${start}…`}</bdi>
      {isLong && (
        <button
          type="button"
          className="min-h-6 text-meta text-accent hover:underline max-sm:min-h-11"
          aria-expanded={isWhole}
          onClick={() => setIsWhole(!isWhole)}
        >
          {isWhole ? 'Show less' : lines.length > 1 ? `Show all ${lines.length} lines` : 'Show all'}
        </button>
      )}
    </div>
  )
}
