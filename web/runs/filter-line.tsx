import { useNavigate } from '@tanstack/react-router'
import { ListFilter, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { filterOfWords } from '../data/run-filter.ts'
import type { RunFilter } from '../data/runs.ts'
import { isTyping } from '../shell/keys.ts'

const choices = {
  kind: ['workflow', 'agent', 'bot', 'task'],
  status: ['queued', 'running', 'success', 'failed', 'canceled', 'interrupted'],
  since: ['1h', '24h', '7d', '30d'],
} as const

/** Words and chips, the same filter twice; both stand in the address. */
export function FilterLine({ filter }: { filter: RunFilter }) {
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
  const others = (['user', 'workflow', 'q'] as const).filter((name) => filter[name] !== undefined)
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
            placeholder="status:failed user:ann text…"
            value={text}
            onChange={(event) => setText(event.target.value)}
            spellCheck={false}
            autoCapitalize="none"
          />
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
            <span className="font-medium">{filter[name]}</span>
            <X size={12} strokeWidth={1.75} aria-hidden />
          </button>
        ))}
      </form>
    </search>
  )
}
