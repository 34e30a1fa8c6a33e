import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'
import { writeFileAtomic } from '../../platform/files.ts'

const RETENTION_DAYS = 30
const ID = /^\/\/ ([\w-]+)\n/
const ENDING = '.code'

export interface Program {
  exports: unknown
  /** Saves the code that has been compiled so far for the next start, unless it is saved already. */
  keep(): void
}

/**
 * Loads a CommonJS file with the code that V8 compiled at an earlier start. Node's own compile cache holds only what is
 * compiled when a file is loaded. This one also holds the functions that were called, whose compilation takes longer
 * than all the rest. `require` resolves from the file's folder. The file is ASCII. It begins with a line `// <id>`,
 * whose id differs for each content, since V8 itself compares only lengths. Then follows
 * `(function (exports, require, module, __filename, __dirname) {...})`. Adding that wrapper here would copy the whole
 * text (4 ms of 90).
 */
export function loadProgram(file: string, cacheFolder: string, require: NodeJS.Require): Program {
  const text = readFileSync(file, 'latin1')
  const cacheFile = join(cacheFolder, `${idOf(file, text)}-${process.version}-${process.arch}${ENDING}`)
  const cachedData = readIfThere(cacheFile)
  const script = new Script(text, { filename: file, cachedData })
  const module = { exports: {} as unknown }
  script.runInThisContext()(module.exports, require, module, file, dirname(file))
  const isUsable = cachedData !== undefined && script.cachedDataRejected === false
  return {
    exports: module.exports,
    keep: () => {
      if (!isUsable) write(cacheFile, script.createCachedData())
    },
  }
}

function idOf(file: string, text: string): string {
  const id = ID.exec(text)?.[1]
  if (id === undefined) throw new Error(`${file} does not begin with its id`)
  return id
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}

/** Saves the code. A folder that is not writable only costs time at each start. */
function write(file: string, code: Buffer): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    dropOld(dirname(file))
    // The write is durable: V8 checks only the length, and would run a damaged file.
    writeFileAtomic(file, code)
  } catch {}
}

/** Removes code older than 30 days, such as that of old releases. Code in use is saved again at the next start. */
function dropOld(folder: string): void {
  const oldestMs = Date.now() - RETENTION_DAYS * 24 * 60 * 60 * 1000
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name.endsWith(ENDING) && statSync(path).mtimeMs < oldestMs) rmSync(path, { force: true })
  }
}
