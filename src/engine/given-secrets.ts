import type { AttemptSpec } from '../contract/attempt.ts'
import { ErrandError, type ErrorCode } from '../contract/errors.ts'
import type { RunSpec } from '../contract/run.ts'
import type { Workflow } from '../contract/workflow.ts'
import { hubSecrets } from './hub-secrets.ts'
import type { SecretSource } from './ports.ts'

/** Secrets without a hub: values by name, given to the program that runs the engine. */
export class GivenSecrets implements SecretSource {
  readonly #values: Readonly<Record<string, string>>

  constructor(values: Readonly<Record<string, string>>) {
    this.#values = values
  }

  async reveal({ secrets = {} }: AttemptSpec): Promise<Record<string, string>> {
    const uses = Object.entries(secrets).filter(([, { from }]) => from === 'hub')
    this.#check(
      uses.map(([, { name }]) => name),
      'secret_not_found',
    )
    return Object.fromEntries(uses.map(([variable, { name }]) => [variable, this.#values[name]!]))
  }

  /** For `EngineOptions.admit`. Throws `invalid_argument`. */
  async admit({ workflow }: Pick<RunSpec, 'workflow'>): Promise<void> {
    this.#check(
      hubSecrets(workflow as Workflow).flatMap(({ names }) => names),
      'invalid_argument',
    )
  }

  #check(names: readonly string[], code: ErrorCode): void {
    const missing = [...new Set(names)].filter((name) => !Object.hasOwn(this.#values, name))
    if (missing.length === 0) return
    const what = missing.map((name) => `"${name}"`).join(', ')
    throw new ErrandError(
      code,
      `The workflow names ${missing.length === 1 ? 'a secret that was' : 'secrets that were'} not given: ${what}.`,
      {
        hint: `Give ${missing.length === 1 ? 'it' : 'each'} with --secret ${missing[0]} (its value is then taken from the environment) or --secret ${missing[0]}=@FILE.`,
        details: { secrets: missing },
      },
    )
  }
}
