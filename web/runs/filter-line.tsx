import { X } from 'lucide-react'
import { filterOfWords } from '../data/run-filter.ts'
import type { Run, RunFilter } from '../data/runs.ts'
import { useNavigate } from '../navigation/navigation.tsx'
import { FilterForm } from '../parts/filter-form.tsx'

const choices = {
  kind: ['workflow', 'agent', 'bot', 'task'],
  status: ['queued', 'running', 'success', 'failed', 'canceled', 'interrupted'],
  since: ['1h', '24h', '7d', '30d'],
} as const

/** Labels of choices that say more than their value. */
const sorts: Readonly<Record<string, string>> = {
  started: 'newest first',
  '-started': 'oldest first',
  finished: 'last ended',
  '-finished': 'first ended',
  duration: 'longest',
  '-duration': 'shortest',
  name: 'name',
  '-name': 'name, Z to A',
}
const MOST_WORDS = 12

/** Returns texts that complete the field's last word, from values of the loaded runs. */
function completions(text: string, runs: readonly Run[]): string[] {
  const at = text.lastIndexOf(' ') + 1
  const [before, word] = [text.slice(0, at), text.slice(at)]
  if (word === '') return []
  const known = new Set([
    ...Object.entries(choices).flatMap(([name, values]) => values.map((value) => `${name}:${value}`)),
    'needs:me',
    'latest:1',
    ...runs.flatMap(({ owner, workflow_name, inputs = {}, labels = {} }) => [
      ...Object.entries(labels).map(([name, value]) => `label:${name}${value === '' ? '' : `=${value}`}`),
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

/** Shows the same filter as words and as chips; both are part of the address. */
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
  const set = (next: RunFilter) => navigate({ to: '/runs', search: next })
  const others = (Object.keys(filter) as (keyof RunFilter)[]).filter(
    (name) => !(name in choices) && name !== 'latest' && name !== 'sort' && filter[name] !== undefined,
  )
  return (
    <FilterForm
      label="Filter: words such as status:failed, a name or an ID"
      placeholder="status:failed input.region:eu text…"
      submit={(words) => void set({ ...filter, ...filterOfWords(words) })}
      completions={(text) => completions(text, runs)}
    >
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
      <button
        type="button"
        aria-pressed={filter.latest !== undefined}
        title="Show only the latest attempt of retried runs"
        className={`h-7 rounded-md border px-2 text-meta max-sm:h-11 ${filter.latest === undefined ? 'border-dashed border-line2 text-ink2' : 'border-accent bg-accent-soft font-medium text-accent'}`}
        onClick={() => set({ ...filter, latest: filter.latest === undefined ? '1' : undefined })}
      >
        Latest attempt only
      </button>
      {others.map((name) => (
        <button
          key={name}
          type="button"
          className="flex h-7 items-center gap-1.5 rounded-md border border-line2 px-2 text-meta max-sm:h-11"
          aria-label={`Remove ${name}: ${filter[name]}`}
          onClick={() => set({ ...filter, [name]: undefined })}
        >
          <span className="text-ink2">{name === 'q' ? 'Text' : name}</span>
          <span className="max-w-48 truncate font-medium">
            <bdi>{filter[name]}</bdi>
          </span>
          <X size={12} strokeWidth={1.75} aria-hidden />
        </button>
      ))}
      <select
        aria-label="sort"
        className={`h-7 rounded-md border bg-surface px-2 text-meta max-sm:h-11 dark:bg-raised ${filter.sort === undefined ? 'border-dashed border-line2 text-ink2' : 'border-line2 font-medium'}`}
        value={filter.sort ?? ''}
        onChange={({ target }) => set({ ...filter, sort: target.value || undefined })}
      >
        <option value="">Sort</option>
        {Object.entries(sorts).map(([sort, word]) => (
          <option key={sort} value={sort}>
            {word}
          </option>
        ))}
      </select>
      <span className="ml-auto text-meta text-ink2 tabular-nums">{said}</span>
    </FilterForm>
  )
}
