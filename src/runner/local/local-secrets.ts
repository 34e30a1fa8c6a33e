import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { randomText } from '../../contract/random-text.ts'
import type { SecretSource } from '../../engine/ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import type { MachineSecrets } from '../secrets/machine-secrets.ts'

export interface LocalSecretsOptions {
  /** Has the values of the secrets that steps name; absent: only those that were mounted are known. */
  source: SecretSource | undefined
  env: NodeJS.ProcessEnv
  /** Names the temporary folders of this program's secrets. */
  key: string
}

/** The secrets of the steps that this process carries out. */
export class LocalSecrets {
  readonly #options: LocalSecretsOptions
  #machine: Promise<MachineSecrets> | undefined

  constructor(options: LocalSecretsOptions) {
    this.#options = options
  }

  /** For one attempt, and those in files are written. Throws `invalid_argument` where one is missing. */
  async of(spec: AttemptSpec): Promise<AttemptSecrets> {
    const { source, key } = this.#options
    const given = (await source?.reveal(spec)) ?? {}
    this.#machine ??= this.#load()
    const folder = join(tmpdir(), `errand-${key}-secrets-${randomText(26)}`)
    const secrets = (await this.#machine).of(spec, given, folder)
    secrets.writeFiles()
    return secrets
  }

  /** Only who has secrets waits for what hides them to be loaded. */
  async #load(): Promise<MachineSecrets> {
    const [{ MachineSecrets }, { mountedSecretsDir }] = await Promise.all([
      import('../secrets/machine-secrets.ts'),
      import('../secrets/mounted-secret.ts'),
    ])
    return new MachineSecrets({}, mountedSecretsDir(this.#options.env))
  }
}
