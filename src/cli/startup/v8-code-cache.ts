import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'
import { writeFileAtomic } from '../../platform/files.ts'

const KEPT_DAYS = 30
const ID = /^\/\/ ([\w-]+)\n/
const ENDING = '.code'

export interface Program {
  exports: unknown
  /** Keeps what has been compiled of it by now, for the next start; does nothing where that is kept already. */
  keep(): void
}

/**
 * Loads a CommonJS file with the code that V8 made of it at an earlier start. Node's own compile cache holds only what is
 * compiled at the loading of a file; this one holds the functions that were called too, and compiling those takes longer
 * than all the rest. `require` is of the file's folder. The file is ASCII: a line `// <id>`, another one for each content
 * since V8 itself compares only lengths, and then `(function (exports, require, module, __filename, __dirname) {...})`.
 * To put that around its text here would copy all of it (4 ms of 90).
 */
export function loadProgram(file: string, cacheFolder: string, require: NodeJS.Require): Program {
  const text = readFileSync(file, 'latin1')
  const cacheFile = join(cacheFolder, `${idOf(file, text)}-${process.version}-${process.arch}${ENDING}`)
  const cachedData = readIfThere(cacheFile)
  const script = new Script(text, { filename: file, cachedData })
  const module = { exports: {} as unknown }
  script.runInThisContext()(module.exports, require, module, file, dirname(file))
  const kept = cachedData !== undefined && script.cachedDataRejected === false
  return {
    exports: module.exports,
    keep: () => {
      if (!kept) write(cacheFile, script.createCachedData())
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

/** A folder that cannot be written costs time at each start, and nothing else. */
function write(file: string, code: Buffer): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    dropOld(dirname(file))
    // Durable: V8 looks at its length only, and half of it would be run as it is.
    writeFileAtomic(file, code)
  } catch {}
}

/** Code of releases that are gone. What is still in use is written anew at its next start. */
function dropOld(folder: string): void {
  const oldestMs = Date.now() - KEPT_DAYS * 24 * 60 * 60 * 1000
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name.endsWith(ENDING) && statSync(path).mtimeMs < oldestMs) rmSync(path, { force: true })
  }
}
