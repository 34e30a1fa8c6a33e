import { X } from 'lucide-react'

interface Props {
  label: string
  /** Values with their labels. */
  choices: readonly (readonly [value: string, word: string])[]
  value: string | undefined
  choose: (value: string | undefined) => void
}

/** Shows one word of a list's filter as a choice. A value outside the choices is shown as it is. */
export function FilterChoice({ label, choices, value, choose }: Props) {
  return (
    <select
      aria-label={label}
      className={`h-7 max-w-44 rounded-md border bg-surface px-2 text-meta max-sm:h-11 max-sm:max-w-none max-sm:flex-[1_1_40%] max-sm:text-[1rem] dark:bg-raised ${value === undefined ? 'border-dashed border-line2 text-ink2' : 'border-line2 font-medium'}`}
      value={value ?? ''}
      onChange={({ target }) => choose(target.value || undefined)}
    >
      <option value="">{label}</option>
      {choices.map(([one, word]) => (
        <option key={one} value={one}>
          {word}
        </option>
      ))}
      {value !== undefined && !choices.some(([one]) => one === value) && (
        <option value={value}>{value}</option>
      )}
    </select>
  )
}

/** Shows a word of the filter as a chip, which a press removes. */
export function FilterChip({ word, value, drop }: { word: string; value: string; drop: () => void }) {
  return (
    <button
      type="button"
      className="flex h-7 items-center gap-1.5 rounded-md border border-line2 px-2 text-meta max-sm:h-11"
      aria-label={`Remove ${word}: ${value}`}
      onClick={drop}
    >
      <span className="text-ink2">{word}</span>
      <span className="max-w-48 truncate font-medium">
        <bdi>{value}</bdi>
      </span>
      <X size={12} strokeWidth={1.75} aria-hidden />
    </button>
  )
}
