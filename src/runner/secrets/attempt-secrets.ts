import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { givenSecrets, withSecrets } from '../../contract/step-secrets.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Masker, NamedSecret } from '../masking/masker.ts'
import { secretBytes } from '../masking/secret-patterns.ts'

const FILES = 'secret-files'
/** A key for a service of models that asks for none is a word like `local`. */
const MIN_OWN_BYTES = 16
/** Where the values stand until the attempt's end. */
export const keptIn = (folder: string): string => join(folder, 'secrets')

/** By variable those of the step, by name those of the machine. */
export interface Values {
  step: Readonly<Record<string, string>>
  own: Readonly<Record<string, string>>
}

export interface AttemptSecretsOptions {
  spec: AttemptSpec
  /** The attempt's private folder; made where it is needed and not there. */
  folder: string
  values: Values
  /** Knows them all; undefined: there is nothing to hide. */
  masker: Masker | undefined
  /** Knows those alone that its processes are given, so that it is the same once another was dropped. */
  outputMasker: Masker | undefined
}

/** The secrets of one attempt: what its processes are given, and what hides them in all that it puts out. */
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

  /** In words, which secrets of the step are not hidden, or not in all forms. */
  get warnings(): string[] {
    const names = Object.keys(this.#values.step).map((name) => `Secret "${name}" `)
    return (this.masker?.warnings ?? []).filter((warning) => names.some((name) => warning.startsWith(name)))
  }

  /** Those by which a text that is to leave the machine can be refused: values of the machine's own that are short may be words. */
  get known(): NamedSecret[] {
    const { own, step } = this.#values
    const ofMachine = Object.entries(own).filter(([, value]) => secretBytes(value) >= MIN_OWN_BYTES)
    return [...ofMachine, ...Object.entries(step)].map(([name, value]) => ({ name, value }))
  }

  /** The variables that its processes get. */
  get env(): Record<string, string> {
    const { secrets } = this.#options.spec
    const { step } = this.#values
    const given = givenSecrets(secrets).filter((variable) => Object.hasOwn(step, variable))
    return Object.fromEntries(
      given.map((variable) => [
        variable,
        secrets?.[variable]?.as === 'file' ? this.#file(variable) : step[variable]!,
      ]),
    )
  }

  /** The spec with the secrets in its texts and its environment. It is written nowhere. */
  get filledSpec(): AttemptSpec {
    const { spec } = this.#options
    if (spec.secrets === undefined) return spec
    const { env } = this
    return { ...spec, args: withSecrets(spec.args, env), env: { ...withSecrets(spec.env, env), ...env } }
  }

  /** Writes what is to survive this process. */
  keep(): void {
    if (!this.masker) return
    this.writeFiles()
    writeFileSync(keptIn(this.#options.folder), JSON.stringify(this.#values), { mode: 0o600 })
  }

  /** Paths of those that are handed over as files. */
  get files(): string[] {
    return this.#inFiles.map((variable) => this.#file(variable))
  }

  /** Writes those that are handed over as files. */
  writeFiles(): void {
    const variables = this.#inFiles
    if (variables.length === 0) return
    mkdirSync(join(this.#options.folder, FILES), { recursive: true, mode: 0o700 })
    for (const variable of variables)
      writeFileSync(this.#file(variable), this.#values.step[variable]!, { mode: 0o600 })
  }

  /** One that has served is kept no more, and given out no more; what is told is masked as before. Twice is once. */
  drop(variable: string): void {
    const { own, step } = this.#values
    const { [variable]: dropped, ...rest } = step
    if (dropped === undefined) return
    this.#values = { own, step: rest }
    writeFileAtomic(keptIn(this.#options.folder), JSON.stringify(this.#values), { mode: 0o600 })
  }

  /** Deletes all that `keep` and `writeFiles` wrote. Twice is once. */
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

/** Deletes the secrets of an attempt, and its folder where nothing else is in it. */
export function discardSecrets(folder: string): void {
  try {
    rmSync(keptIn(folder), { force: true })
    rmSync(join(folder, FILES), { recursive: true, force: true })
    rmdirSync(folder)
  } catch {
    // It holds other things, or was never made.
  }
}
