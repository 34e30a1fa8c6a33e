import { ListFilter } from 'lucide-react'
import { type ReactNode, useId, useRef, useState } from 'react'
import { useLetters } from './letters.ts'

interface Props {
  /** Says which words the field takes. */
  label: string
  placeholder: string
  /** Called with the words; the field is then empty. */
  submit: (words: string) => void
  /** Returns texts that complete the field. */
  completions?: (text: string) => readonly string[]
  /** Choices and chips for the same filter. */
  children?: ReactNode
}

/** A field for a list's filter in words; `/` focuses it. */
export function FilterForm({ label, placeholder, submit, completions, children }: Props) {
  const field = useRef<HTMLInputElement>(null)
  const [text, setText] = useState('')
  const id = useId()
  useLetters((key) => key === '/' && field.current?.focus())
  return (
    <search>
      <form
        className="flex flex-wrap items-center gap-2 px-edge py-3"
        onSubmit={(event) => {
          event.preventDefault()
          submit(text)
          setText('')
        }}
      >
        <span className="relative max-sm:w-full">
          <ListFilter
            size={14}
            strokeWidth={1.75}
            aria-hidden
            className="absolute top-1/2 left-2.5 -translate-y-1/2 text-ink3"
          />
          <input
            ref={field}
            aria-label={label}
            className="field w-80 max-w-full pl-8 max-sm:w-full"
            placeholder={placeholder}
            value={text}
            onChange={({ target }) => setText(target.value)}
            spellCheck={false}
            list={completions === undefined ? undefined : id}
            autoComplete="off"
            autoCapitalize="none"
          />
          {completions !== undefined && (
            <datalist id={id}>
              {completions(text).map((word) => (
                <option key={word} value={word} />
              ))}
            </datalist>
          )}
          <kbd className="key absolute top-1/2 right-2 -translate-y-1/2 max-sm:hidden">/</kbd>
        </span>
        {children}
      </form>
    </search>
  )
}
