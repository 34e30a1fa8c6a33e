import { X } from 'lucide-react'
import type { ValidateAnswer } from '../../src/contract/run-api.ts'
import { ChoiceField, Field, TextField } from '../parts/field.tsx'

export type WorkflowInput = NonNullable<ValidateAnswer['workflow']>['inputs'][number]

/** Sorts fields in the order in which a person needs them: required ones first, otherwise as in the file. */
export const inOrder = (inputs: readonly WorkflowInput[]): WorkflowInput[] =>
  [...inputs].sort((a, b) => Number(isNeeded(b)) - Number(isNeeded(a)))

export const isNeeded = ({ required, default: fallback }: WorkflowInput): boolean =>
  required && fallback === undefined

interface Props {
  inputs: readonly WorkflowInput[]
  /** Values that were given, also under names that are not inputs. */
  values: Readonly<Record<string, string>>
  /** Values of credentials, which live as long as the page. */
  secrets: Readonly<Record<string, string>>
  /** Variables of `env` that are empty in the text because their values were credentials. */
  emptied: readonly string[]
  /** Faults by the name of the field. */
  faults: ReadonlyMap<string, string>
  change: (name: string, value: string | undefined) => void
  changeSecret: (name: string, value: string) => void
}

/** Shows the values that a run starts with: a field for each input, each other given variable and each secret. */
export function InputsForm({ inputs, values, secrets, emptied, faults, change, changeSecret }: Props) {
  const others = Object.keys(values).filter((name) => !inputs.some((input) => input.name === name))
  const secret = (name: string, note: string, needed: boolean) => (
    <TextField
      key={`secret ${name}`}
      label={name}
      name={name}
      tag={needed ? 'secret, required' : 'secret'}
      type="password"
      mono
      value={secrets[name] ?? ''}
      change={(value) => changeSecret(name, value)}
      note={note}
      error={faults.get(name)}
    />
  )
  return (
    <div className="flex flex-col gap-4">
      {inOrder(inputs).map((input) =>
        input.secret ? (
          secret(
            input.name,
            input.description ??
              'Enter it for each run. The run stores it in plain text. For confidential values, use secrets:',
            isNeeded(input),
          )
        ) : (
          <InputField
            key={input.name}
            input={input}
            value={values[input.name]}
            fault={faults.get(input.name)}
            change={(value) => change(input.name, value)}
          />
        ),
      )}
      {emptied.map((name) =>
        secret(
          name,
          'It was in env of that run. It is inserted into the workflow when the run starts.',
          true,
        ),
      )}
      {others.map((name) => (
        <div key={`other ${name}`} className="flex items-start gap-2">
          <div className="min-w-0 flex-1">
            <TextField
              label={name}
              name={name}
              tag="variable"
              mono
              value={values[name] ?? ''}
              change={(value) => change(name, value)}
              error={faults.get(name)}
            />
          </div>
          <button
            type="button"
            className="button button-plain mt-6"
            aria-label={`Remove ${name}`}
            onClick={() => change(name, undefined)}
          >
            <X size={14} strokeWidth={1.75} aria-hidden /> Remove
          </button>
        </div>
      ))}
    </div>
  )
}

interface FieldProps {
  input: WorkflowInput
  value: string | undefined
  fault: string | undefined
  change: (value: string | undefined) => void
}

const FEW = 4

function InputField({ input, value, fault, change }: FieldProps) {
  const { name, type, description, default: fallback } = input
  const shared = { label: name, note: description, error: fault, tag: tagOf(input) }
  const choices = type === 'boolean' ? ['true', 'false'] : input.enum?.map(String)
  const left = fallback === undefined ? 'none' : String(fallback)
  const onText = (text: string) => change(text === '' ? undefined : text)
  // A value that does not fit the choices stays visible in a text field.
  if (choices !== undefined && (value === undefined || choices.includes(value))) {
    if (choices.length > FEW)
      return (
        <ChoiceField
          {...shared}
          value={value ?? ''}
          change={onText}
          options={[
            { value: '', word: fallback === undefined ? 'choose…' : `${left} (default)` },
            ...choices.map((one) => ({ value: one, word: one })),
          ]}
        />
      )
    return (
      <Field {...shared}>
        {({ id, ...describedBy }) => (
          <fieldset
            id={id}
            aria-label={name}
            {...describedBy}
            className="segments w-fit max-w-full flex-wrap"
          >
            {choices.map((one) => (
              <button
                key={one}
                type="button"
                name={name}
                aria-pressed={(value ?? String(fallback)) === one}
                className="segment font-mono"
                onClick={() => change(value === one ? undefined : one)}
              >
                <bdi>{one}</bdi>
              </button>
            ))}
          </fieldset>
        )}
      </Field>
    )
  }
  return (
    <TextField
      {...shared}
      name={name}
      mono
      value={value ?? ''}
      change={onText}
      placeholder={fallback === undefined ? undefined : String(fallback)}
    />
  )
}

function tagOf(input: WorkflowInput): string | undefined {
  const words = [input.type === 'number' ? 'number' : '', isNeeded(input) ? 'required' : '']
  return words.filter(Boolean).join(', ') || undefined
}
