import { readFileSync, statSync } from 'node:fs'
import { ErrandError } from '../../contract/errors.ts'
import { type HubConfig, NO_CONFIG, parseConfig } from './config-text.ts'

/** How often the file is looked at: it may be replaced, linked or mounted, which only its state tells of. */
const LOOK_MS = 2_000

export interface ConfigFileOptions {
  /** Absent: there is none. */
  file: string | undefined
  log(message: string): void
}

/** The hub's configuration as its file says, now and after each change. One that is wrong later changes nothing. */
export class ConfigFile {
  readonly #options: ConfigFileOptions
  #config: HubConfig = NO_CONFIG
  /** State of the file just before it was read last. */
  #seen = ''
  #timer: NodeJS.Timeout | undefined

  /** Throws `invalid_argument` for a file that cannot be read or is wrong. */
  constructor(options: ConfigFileOptions) {
    this.#options = options
    if (options.file === undefined) return
    const { file } = options
    this.#read(file)
    this.#timer = setInterval(() => {
      if (stateOf(file) !== this.#seen) this.reload()
    }, LOOK_MS).unref()
  }

  /** The runner group of a repository; undefined: any. */
  groupOf(repository: string | undefined): string | undefined {
    return repository === undefined ? undefined : this.#config.groups.get(repository)
  }

  /** Reads the file again; where that fails what was read before holds. */
  reload(): void {
    const { file, log } = this.#options
    if (file === undefined) return
    try {
      this.#read(file)
      log(`${file} was read again.`)
    } catch (error) {
      log(`${(error as Error).message} What was read before still holds.`)
    }
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  #read(file: string): void {
    this.#seen = stateOf(file)
    this.#config = parseConfig(textOf(file), file)
    for (const warning of this.#config.warnings) this.#options.log(warning)
  }
}

/** Another one for another file, or the same one changed. */
function stateOf(file: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(file, { bigint: true })
    return `${ino} ${size} ${mtimeNs}`
  } catch (error) {
    return (error as Error).message
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ErrandError('invalid_argument', `${file} cannot be read: ${(cause as Error).message}.`, {
      hint: 'Name another with --config, or leave that out.',
      cause,
    })
  }
}
