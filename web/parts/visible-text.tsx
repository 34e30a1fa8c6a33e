import { Fragment } from 'react'

// Characters that are invisible or change the writing direction: controls, joiners and marks, unusual spaces, tags,
// selectors.
const UNSEEN =
  /(?![\n\t ])(?:[\p{Cc}\p{Cf}\p{Co}\p{Z}]|\u034f|[\u115f\u1160]|[\u17b4\u17b5]|[\u180b-\u180f]|\u3164|\uffa0|[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}])/gu

const numberOf = (mark: string): string =>
  `U+${mark.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`

/** Shows a text in which each invisible character appears as its code point in a frame. */
export function VisibleText({ text }: { text: string }) {
  const pieces: { at: number; text: string; mark?: string }[] = []
  let from = 0
  for (const { index, 0: mark } of text.matchAll(UNSEEN)) {
    pieces.push({ at: from, text: text.slice(from, index), mark })
    from = index + mark.length
  }
  return (
    <>
      {pieces.map(({ at, text: before, mark }) => (
        <Fragment key={at}>
          {before}
          <span
            className="mx-px rounded-sm border border-bad px-0.5 text-[0.85em] whitespace-nowrap text-bad"
            title="Invisible character"
          >
            {numberOf(mark!)}
          </span>
        </Fragment>
      ))}
      {text.slice(from)}
    </>
  )
}
