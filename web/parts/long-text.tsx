import { useState } from 'react'

const MOST_LINES = 14
const MOST_CHARACTERS = 1200

/** Shows a text of a run unchanged; of a long one only the beginning, until the person asks for the rest. */
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
