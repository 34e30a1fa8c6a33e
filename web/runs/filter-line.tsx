import { useNavigate } from '@tanstack/react-router'
import { ListFilter, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { filterOfWords } from '../data/run-filter.ts'
import type { Run, RunFilter } from '../data/runs.ts'
import { isTyping } from '../shell/keys.ts'

const choices = {
  kind: ['workflow', 'agent', 'bot', 'task'],
  status: ['queued', 'running', 'success', 'failed', 'canceled', 'interrupted'],
  since: ['1h', '24h', '7d', '30d'],
} as const

const MOST_WORDS = 12

/** Texts that the field may become: its last word completed, by what the loaded runs have. */
function completions(text: string, runs: readonly Run[]): string[] {
  const at = text.lastIndexOf(' ') + 1
  const [before, word] = [text.slice(0, at), text.slice(at)]
  if (word === '') return []
  const known = new Set([
    ...Object.entries(choices).flatMap(([name, values]) => values.map((value) => `${name}:${value}`)),
    'needs:me',
    ...runs.flatMap(({ owner, workflow_name, inputs = {} }) => [
      `user:${owner}`,
      ...(/\s/.test(workflow_name) ? [] : [`workflow:${workflow_name}`]),
      ...Object.entries(inputs).flatMap(([name, value]) =>
        /[\s…]/.test(value) ? [] : [`input.${name}:${value}`],
      ),
    ]),
  ])
  const fitting = [...known].filter((each) => each.startsWith(word) && each !== word)
  return fitting.slice(0, MOST_WORDS).map((each) => before + each)
}

/** Words and chips, the same filter twice; both stand in the address. */
export function FilterLine({
  filter,
  runs,
  said,
}: {
  filter: RunFilter
  runs: readonly Run[]
  said: string
}) {
  const navigate = useNavigate()
  const field = useRef<HTMLInputElement>(null)
  const [text, setText] = useState('')
  const set = (next: RunFilter) => navigate({ to: '/runs', search: next })
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { target } = event
      if (event.key !== '/' || isTyping(target)) return
      event.preventDefault()
      field.current?.focus()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
  const others = (Object.keys(filter) as (keyof RunFilter)[]).filter(
    (name) => !(name in choices) && filter[name] !== undefined,
  )
  const words = completions(text, runs)
  return (
    <search>
      <form
        className="flex flex-wrap items-center gap-2 px-5 py-3"
        onSubmit={(event) => {
          event.preventDefault()
          void set({ ...filter, ...filterOfWords(text) })
          setText('')
        }}
      >
        <span className="relative">
          <ListFilter
            size={14}
            strokeWidth={1.75}
            aria-hidden
            className="absolute top-1/2 left-2.5 -translate-y-1/2 text-ink3"
          />
          <input
            ref={field}
            aria-label="Filter: words such as status:failed, or a name or id"
            className="field w-80 max-w-full pl-8"
            placeholder="status:failed input.region:eu text…"
            value={text}
            onChange={(event) => setText(event.target.value)}
            spellCheck={false}
            list="filter-words"
            autoComplete="off"
            autoCapitalize="none"
          />
          <datalist id="filter-words">
            {words.map((word) => (
              <option key={word} value={word} />
            ))}
          </datalist>
          <kbd className="key absolute top-1/2 right-2 -translate-y-1/2 max-sm:hidden">/</kbd>
        </span>
        {(Object.keys(choices) as (keyof typeof choices)[]).map((name) => (
          <select
            key={name}
            aria-label={name}
            className={`h-7 rounded-md border bg-surface px-2 text-meta max-sm:h-11 dark:bg-raised ${filter[name] === undefined ? 'border-dashed border-line2 text-ink2' : 'border-line2 font-medium'}`}
            value={filter[name] ?? ''}
            onChange={({ target }) => set({ ...filter, [name]: target.value || undefined })}
          >
            <option value="">{name[0]!.toUpperCase() + name.slice(1)}</option>
            {choices[name].map((choice) => (
              <option key={choice} value={choice}>
                {choice}
              </option>
            ))}
            {filter[name] !== undefined && !(choices[name] as readonly string[]).includes(filter[name]) && (
              <option value={filter[name]}>{filter[name]}</option>
            )}
          </select>
        ))}
        {others.map((name) => (
          <button
            key={name}
            type="button"
            className="flex h-7 items-center gap-1.5 rounded-md border border-line2 px-2 text-meta max-sm:h-11"
            aria-label={`Drop ${name}: ${filter[name]}`}
            onClick={() => set({ ...filter, [name]: undefined })}
          >
            <span className="text-ink2">{name === 'q' ? 'Text' : name}</span>
            <span className="max-w-48 truncate font-medium">
              <bdi>{filter[name]}</bdi>
            </span>
            <X size={12} strokeWidth={1.75} aria-hidden />
          </button>
        ))}
        <span className="ml-auto text-meta text-ink2 tabular-nums">{said}</span>
      </form>
    </search>
  )
}
