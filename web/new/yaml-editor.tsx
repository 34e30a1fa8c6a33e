import { useLayoutEffect, useRef } from 'react'
import type { Problem } from '../data/runs.ts'
import { type Fix, fixAt, startOfLine } from './fix.ts'

/** Splits a line of YAML into its key, a comment and the rest. */
function piecesOf(line: string): { text: string; className: string }[] {
  const [, indent, key, colon, rest] = /^(\s*(?:- )?\s*)([\w.-]+)(:)(?=\s|$)(.*)$/s.exec(line) ?? []
  const value = rest ?? line
  const note = /(?:^|\s)#.*$/.exec(value)
  const plain = note === null ? value : value.slice(0, note.index)
  // Quoted texts, and keys of a map in braces.
  const parts = plain.split(/("[^"]*"|'[^']*'|(?<=[{,]\s*)[\w.-]+(?=:\s))/)
  return [
    { text: indent ?? '', className: '' },
    { text: key ?? '', className: 'yaml-key' },
    { text: colon ?? '', className: '' },
    ...parts.map((text, index) => ({
      text,
      className: index % 2 === 0 ? '' : /^["']/.test(text) ? 'yaml-text' : 'yaml-key',
    })),
    { text: note?.[0] ?? '', className: 'yaml-note' },
  ].filter(({ text }) => text !== '')
}

interface Props {
  text: string
  change: (text: string) => void
  problems: readonly Problem[]
  run: () => void
}

/**
 * A text field on top of its own text in colours. The browser handles the typing, so all keys and screen readers
 * work.
 */
export function YamlEditor({ text, change, problems, run }: Props) {
  const field = useRef<HTMLTextAreaElement>(null)
  const behind = useRef<HTMLDivElement>(null)
  const lines = text.split('\n')
  const bad = new Map(problems.map((one) => [one.line, one.severity]))
  const follow = () => {
    if (field.current === null || behind.current === null) return
    behind.current.scrollTop = field.current.scrollTop
    behind.current.scrollLeft = field.current.scrollLeft
  }
  useLayoutEffect(follow)
  const keys = (event: React.KeyboardEvent<HTMLTextAreaElement>) => {
    const area = event.currentTarget
    if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) {
      event.preventDefault()
      run()
    } else if (event.key === 'Enter' && event.altKey) {
      const fix = fixAt(area.value, area.selectionStart, problems)
      if (fix === undefined) return
      event.preventDefault()
      applyFix(fix)
    } else if (event.key === 'Escape') area.blur()
    else if (event.key === 'F8' && problems.length > 0) {
      event.preventDefault()
      const line = area.value.slice(0, area.selectionStart).split('\n').length
      goTo(problems.find((one) => (one.line ?? 0) > line) ?? problems[0]!)
    } else if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      // The next line gets the indent of this one.
      const before = area.value.slice(0, area.selectionStart)
      const indent = /^[ ]*/.exec(before.slice(before.lastIndexOf('\n') + 1))![0]
      if (indent === '') return
      event.preventDefault()
      area.setRangeText(`\n${indent}`, area.selectionStart, area.selectionEnd, 'end')
      change(area.value)
    }
  }
  const shared =
    'font-mono text-[0.78125rem] leading-5 whitespace-pre py-2.5 max-sm:text-base max-sm:leading-6'
  return (
    <div className="relative min-h-0 flex-1 overflow-hidden bg-sunken">
      <div ref={behind} aria-hidden="true" className={`absolute inset-0 overflow-hidden ${shared}`}>
        <div className="min-w-max pb-40">
          {lines.map((line, index) => {
            const severity = bad.get(index + 1)
            const tone = severity === 'error' ? 'bg-bad-soft' : severity === 'warning' ? 'bg-ask-soft' : ''
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: a line is known by its number
              <div key={index} className={`flex h-5 max-sm:h-6 ${tone}`}>
                <span
                  className={`w-12 shrink-0 pr-4 text-right ${severity === 'error' ? 'font-semibold text-bad' : 'text-ink3'}`}
                >
                  {index + 1}
                </span>
                <span className="pr-6">
                  {piecesOf(line).map((piece, at) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a line have no other name
                    <span key={at} className={piece.className}>
                      {piece.text}
                    </span>
                  ))}
                </span>
              </div>
            )
          })}
        </div>
      </div>
      <textarea
        ref={field}
        aria-label="Workflow YAML"
        id="yaml"
        className={`absolute inset-0 h-full w-full resize-none overflow-auto bg-transparent pr-6 pl-12 text-transparent caret-ink outline-none selection:bg-accent/25 selection:text-transparent focus-visible:shadow-[inset_2px_0_0_var(--accent)] ${shared}`}
        value={text}
        onChange={(event) => change(event.target.value)}
        onScroll={follow}
        onKeyDown={keys}
        onDragOver={(event) => event.preventDefault()}
        onDrop={async (event) => {
          const file = event.dataTransfer.files[0]
          if (file === undefined) return
          event.preventDefault()
          change(await file.text())
        }}
        spellCheck={false}
        autoCapitalize="none"
        autoCorrect="off"
        wrap="off"
      />
    </div>
  )
}

const shownField = () => document.querySelector<HTMLTextAreaElement>('#yaml')

/** Moves the cursor to a problem. */
export function goTo({ line = 1, column = 1 }: Problem): void {
  const field = shownField()
  if (field === null) return
  const at = Math.min(startOfLine(field.value, line) + column - 1, field.value.length)
  field.focus()
  field.setSelectionRange(at, at)
  field.scrollTop = Math.max(0, (line - 6) * 20)
}

/** Inserts a fix into the text as if it was typed, so that the browser can undo it. */
export function applyFix({ from, to, word }: Fix): void {
  const field = shownField()
  if (field === null) return
  field.focus()
  field.setSelectionRange(from, to)
  if (document.execCommand('insertText', false, word)) return
  field.setRangeText(word, from, to, 'end')
  field.dispatchEvent(new Event('input', { bubbles: true }))
}
