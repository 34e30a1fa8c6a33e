import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { environmentSecrets, withSecrets } from '../../contract/step-secrets.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Masker, NamedSecret } from '../masking/masker.ts'
import { secretBytes } from '../masking/secret-patterns.ts'

const FILES = 'secret-files'
/** Least bytes of a machine's own secret; a key for a service that needs none is a word like `local`. */
const MIN_OWN_BYTES = 16
/** Returns the folder of the values until the attempt's end. */
export const secretsFile = (folder: string): string => join(folder, 'secrets')

/** Values of the step, by variable, and of the machine, by name. */
export interface Values {
  step: Readonly<Record<string, string>>
  own: Readonly<Record<string, string>>
}

export interface AttemptSecretsOptions {
  spec: AttemptSpec
  /** Private folder of the attempt, created when it is needed. */
  folder: string
  values: Values
  /** Masks all of them; undefined if there is nothing to hide. */
  masker: Masker | undefined
  /** Masks only the secrets that its processes get, so it stays the same after another one is dropped. */
  outputMasker: Masker | undefined
}

/** Holds the secrets of one attempt: what its processes get, and the maskers of its output. */
export class AttemptSecrets {
  readonly #options: AttemptSecretsOptions
  #values: Values

  constructor(options: AttemptSecretsOptions) {
    this.#options = options
    this.#values = options.values
  }

  get masker(): Masker | undefined {
    return this.#options.masker
  }
  get outputMasker(): Masker | undefined {
    return this.#options.outputMasker
  }

  /** Texts that say which secrets of the step are not hidden, or not in all forms. */
  get warnings(): string[] {
    const names = Object.keys(this.#values.step).map((name) => `Secret "${name}" `)
    return (this.masker?.warnings ?? []).filter((warning) => names.some((name) => warning.startsWith(name)))
  }

  /**
   * Secrets for which an outgoing text can be refused; short values of the machine's own are left out, since they may
   * be words.
   */
  get known(): NamedSecret[] {
    const { own, step } = this.#values
    const ofMachine = Object.entries(own).filter(([, value]) => secretBytes(value) >= MIN_OWN_BYTES)
    return [...ofMachine, ...Object.entries(step)].map(([name, value]) => ({ name, value }))
  }

  /** Variables that its processes get. */
  get env(): Record<string, string> {
    const { secrets } = this.#options.spec
    const { step } = this.#values
    const names = environmentSecrets(secrets).filter((variable) => Object.hasOwn(step, variable))
    return Object.fromEntries(
      names.map((variable) => [
        variable,
        secrets?.[variable]?.as === 'file' ? this.#file(variable) : step[variable]!,
      ]),
    )
  }

  /** Spec with the secrets in its texts and its environment. It is never written to a disk. */
  get filledSpec(): AttemptSpec {
    const { spec } = this.#options
    if (spec.secrets === undefined) return spec
    const { env } = this
    return { ...spec, args: withSecrets(spec.args, env), env: { ...withSecrets(spec.env, env), ...env } }
  }

  /** Writes what must survive this process. */
  keep(): void {
    if (!this.masker) return
    this.writeFiles()
    writeFileSync(secretsFile(this.#options.folder), JSON.stringify(this.#values), { mode: 0o600 })
  }

  /** Paths of the secrets that are passed as files. */
  get files(): string[] {
    return this.#inFiles.map((variable) => this.#file(variable))
  }

  /** Writes the secrets that are passed as files. */
  writeFiles(): void {
    const variables = this.#inFiles
    if (variables.length === 0) return
    mkdirSync(join(this.#options.folder, FILES), { recursive: true, mode: 0o700 })
    for (const variable of variables)
      writeFileSync(this.#file(variable), this.#values.step[variable]!, { mode: 0o600 })
  }

  /**
   * Drops a secret that has served its purpose: it is not stored or given out any more, but output is masked as before.
   * Idempotent.
   */
  drop(variable: string): void {
    const { own, step } = this.#values
    const { [variable]: dropped, ...rest } = step
    if (dropped === undefined) return
    this.#values = { own, step: rest }
    writeFileAtomic(secretsFile(this.#options.folder), JSON.stringify(this.#values), { mode: 0o600 })
  }

  /** Deletes everything that `keep` and `writeFiles` wrote. Idempotent. */
  discard(): void {
    if (this.masker) discardSecrets(this.#options.folder)
  }

  get #inFiles(): string[] {
    const { secrets } = this.#options.spec
    return Object.keys(this.#values.step).filter((variable) => secrets?.[variable]?.as === 'file')
  }

  #file(variable: string): string {
    return join(this.#options.folder, FILES, variable)
  }
}

/** Deletes the secrets of an attempt, and its folder if nothing else is in it. */
export function discardSecrets(folder: string): void {
  try {
    rmSync(secretsFile(folder), { force: true })
    rmSync(join(folder, FILES), { recursive: true, force: true })
    rmdirSync(folder)
  } catch {
    // It holds other things, or was never created.
  }
}
