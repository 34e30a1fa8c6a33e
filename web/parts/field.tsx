import { type ReactNode, useId } from 'react'

interface Of {
  label: string
  /** Says below the field what it is for. */
  note?: ReactNode
  /** Says what is wrong with the value, in place of the note. */
  error?: string | undefined
  /** Text after the label, such as `required`. */
  tag?: ReactNode
}

/** Attributes that the control of a field needs. */
export interface Control {
  id: string
  'aria-describedby': string | undefined
  'aria-invalid': boolean | undefined
}

/** A control with its label above it and a note or error below it. */
export function Field({
  label,
  note,
  error,
  tag,
  children,
}: Of & { children: (control: Control) => ReactNode }) {
  const id = useId()
  const message = error ?? note
  return (
    <div className="min-w-0">
      <div className="mb-1 flex items-baseline gap-2">
        <label className="min-w-0 truncate font-medium" htmlFor={id}>
          <bdi>{label}</bdi>
        </label>
        {tag !== undefined && <span className="shrink-0 text-meta text-ink2">{tag}</span>}
      </div>
      {children({
        id,
        'aria-describedby': message === undefined ? undefined : `${id}-said`,
        'aria-invalid': error === undefined ? undefined : true,
      })}
      {message !== undefined && (
        <p
          id={`${id}-said`}
          className={`mt-1 text-meta break-words ${error === undefined ? 'text-ink2' : 'text-bad'}`}
        >
          {error === undefined ? note : <bdi>{error}</bdi>}
        </p>
      )}
    </div>
  )
}

interface TextOf extends Of {
  value: string
  change: (text: string) => void
  placeholder?: string | undefined
  /** Number of lines of a multi-line field. */
  rows?: number
  mono?: boolean
  type?: 'text' | 'url' | 'password'
  maxLength?: number
  /** Suggested values. */
  offers?: readonly string[]
  name?: string
}

/** A field for a text. */
export function TextField({
  value,
  change,
  placeholder,
  rows,
  mono,
  type,
  maxLength,
  offers,
  name,
  ...of
}: TextOf) {
  const list = useId()
  const prose = !mono && rows !== undefined
  return (
    <Field {...of}>
      {(control) => {
        const shared = {
          ...control,
          ...{ value, placeholder, maxLength, name },
          spellCheck: prose,
          autoCapitalize: prose ? undefined : 'none',
          onChange: ({ target }: { target: { value: string } }) => change(target.value),
        }
        const look = `field w-full ${mono ? 'font-mono' : ''} aria-invalid:border-bad`
        if (rows !== undefined)
          return <textarea {...shared} rows={rows} className={`${look} h-auto! resize-y py-1.5 leading-5`} />
        return (
          <>
            <input
              {...shared}
              type={type ?? 'text'}
              className={look}
              list={offers === undefined ? undefined : list}
              autoComplete={type === 'password' ? 'new-password' : 'off'}
            />
            {offers !== undefined && (
              <datalist id={list}>
                {offers.map((one) => (
                  <option key={one} value={one} />
                ))}
              </datalist>
            )}
          </>
        )
      }}
    </Field>
  )
}

interface ChoiceOf extends Of {
  value: string
  change: (value: string) => void
  options: readonly { value: string; word: string; disabled?: boolean }[]
}

/** A field with a few values to choose from. */
export function ChoiceField({ value, change, options, ...of }: ChoiceOf) {
  return (
    <Field {...of}>
      {(control) => (
        <select
          {...control}
          className="field w-full aria-invalid:border-bad"
          value={value}
          onChange={({ target }) => change(target.value)}
        >
          {options.map(({ value: one, word, disabled }) => (
            <option key={one} value={one} disabled={disabled}>
              {word}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}
