import { readFileSync } from 'node:fs'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { pullSecret } from '../../contract/pull-secret.ts'
import type { Masker } from '../masking/masker.ts'
import { AttemptSecrets, type AttemptSecretsOptions, keptIn, type Values } from './attempt-secrets.ts'
import { Maskers } from './maskers.ts'
import { mountedSecretsDir } from './mounted-secret.ts'
import { secretValues } from './secret-values.ts'

/** Hands out the secrets of this machine's attempts. */
export class MachineSecrets {
  readonly #own: Readonly<Record<string, string>>
  readonly #mountedDir: string
  readonly #maskers = new Maskers()
  /** Most attempts have no others: kept, so that it need not be made for each. */
  readonly #ownMasker: Masker | undefined

  /** `own`: what no attempt may put out, beside its own secrets, by name. */
  constructor(own: Readonly<Record<string, string>> = {}, mountedDir = mountedSecretsDir({})) {
    this.#own = own
    this.#mountedDir = mountedDir
    this.#ownMasker = this.#maskerOf({ own, step: {} })
  }

  /** For an attempt that is begun. Throws `invalid_argument` where one of its secrets is missing. */
  of(spec: AttemptSpec, given: Readonly<Record<string, string>>, folder: string): AttemptSecrets {
    const values = { own: this.#own, step: secretValues(spec, given, this.#mountedDir) }
    const masker = spec.secrets === undefined ? this.#ownMasker : this.#maskerOf(values)
    return this.#secretsOf({ spec, folder, values, masker })
  }

  /**
   * For one of an earlier process of this runner; undefined where its folder has none, or none any more. Throws where
   * they cannot be read.
   */
  recall(spec: AttemptSpec, folder: string): AttemptSecrets | undefined {
    let values: Values
    try {
      values = JSON.parse(readFileSync(keptIn(folder), 'utf8')) as Values
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return this.#secretsOf({ spec, folder, values, masker: this.#maskerOf(values) })
  }

  #secretsOf(all: Omit<AttemptSecretsOptions, 'outputMasker'>): AttemptSecrets {
    const { own, step } = all.values
    const { [pullSecret(all.spec) ?? '']: password, ...given } = step
    const outputMasker = password === undefined ? all.masker : this.#maskerOf({ own, step: given })
    return new AttemptSecrets({ ...all, outputMasker })
  }

  #maskerOf({ own, step }: Values): Masker | undefined {
    const named = [...Object.entries(own), ...Object.entries(step)]
    return this.#maskers.of(named.map(([name, value]) => ({ name, value })))
  }
}
