import { createHash, createHmac, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../../platform/atomic-file.ts'
import { PRIVATE_PART } from './image-name.ts'

/** Names for the images of one owner that nobody else can guess: they are made with a key of this runner. */
export class PrivateNames {
  readonly #folder: string

  constructor(stateDir: string, owner: string) {
    this.#folder = createHmac('sha256', runnerKey(stateDir)).update(owner).digest('hex').slice(0, 40)
  }

  built(bot: string): string {
    return `${PRIVATE_PART}/${this.#folder}/built:${bot}`
  }

  /** By the attempt that has pulled it: a tag may come to mean another image, and a bot begins again with its own. */
  pulled(attemptId: string): string {
    return `${PRIVATE_PART}/${this.#folder}/pulled:${createHash('sha256').update(attemptId).digest('hex')}`
  }
}

function runnerKey(stateDir: string): string {
  const file = join(stateDir, 'image-names.key')
  if (!existsSync(file)) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileAtomic(file, randomBytes(32).toString('hex'), { mode: 0o600 })
  }
  return readFileSync(file, 'utf8')
}
