import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, type ErrorCode } from '../../contract/errors.ts'
import type { RunSpec } from '../../contract/run.ts'
import { forgesOf, hubSecrets, type Workflow } from '../../contract/workflow.ts'
import type { RunSecrets, SecretSource } from '../../engine/ports.ts'

/**
 * Stores secrets without a hub: values by name, given to the program that runs the engine, and those of single runs.
 */
export class GivenSecrets implements SecretSource, RunSecrets {
  readonly #values: Readonly<Record<string, string>>
  readonly #ofRuns = new Map<string, Readonly<Record<string, string>>>()
  #stored: RunSecrets | undefined

  constructor(values: Readonly<Record<string, string>>) {
    this.#values = values
  }

  /** Sets the store for secrets of runs that must outlive this process. */
  keepIn(stored: RunSecrets): void {
    this.#stored = stored
  }

  async setOfRun(
    run: Parameters<RunSecrets['setOfRun']>[0],
    values: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#stored?.setOfRun(run, values)
    this.#ofRuns.set(run.run_id, values)
  }

  async ofRun(run: Run): Promise<Record<string, string>> {
    return { ...(this.#ofRuns.get(run.run_id) ?? (await this.#stored?.ofRun(run))) }
  }

  async dropOfRun(run: Run): Promise<void> {
    this.#ofRuns.delete(run.run_id)
    await this.#stored?.dropOfRun(run)
  }

  async reveal({ run_id, tenant = '', secrets = {} }: AttemptSpec): Promise<Record<string, string>> {
    const uses = Object.entries(secrets).filter(([, { from }]) => from === 'hub')
    if (uses.length === 0) return {}
    const values = { ...this.#values, ...(await this.ofRun({ run_id, tenant })) }
    const names = uses.map(([, { name }]) => name)
    check(values, names, 'secret_not_found')
    return Object.fromEntries(uses.map(([variable, { name }]) => [variable, values[name]!]))
  }

  /** Checks a run for `EngineOptions.admit`. Throws `invalid_argument`. */
  async admit({ run_id, tenant, workflow }: Pick<RunSpec, 'workflow'> & Partial<Run>): Promise<void> {
    const [forge] = forgesOf(workflow as Workflow)
    if (forge !== undefined)
      throw new ErrandError(
        'invalid_argument',
        `Only hubs create tokens for ${forge}, and only for coding tasks.`,
        {
          hint: 'Give the step your own token: secrets: [GIT_TOKEN].',
        },
      )
    const names = hubSecrets(workflow as Workflow).flatMap(({ names }) => names)
    if (names.length === 0) return
    const own = run_id === undefined ? {} : await this.ofRun({ run_id, tenant: tenant ?? '' })
    check({ ...this.#values, ...own }, names, 'invalid_argument')
  }
}

type Run = Parameters<RunSecrets['ofRun']>[0]

function check(values: object, names: readonly string[], code: ErrorCode): void {
  const missing = [...new Set(names)].filter((name) => !Object.hasOwn(values, name))
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
