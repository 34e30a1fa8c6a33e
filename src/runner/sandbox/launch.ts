import { existsSync } from 'node:fs'
import { ErrandError, isErrandError, messageWithHint } from '../../contract/errors.ts'
import { findProgram, isFolder } from '../../platform/files.ts'

/** Holds the words, folder and variables that a process starts with. */
export interface Launch {
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

/** Throws `invalid_argument` if the path is not a folder; the message says if it is a file. */
export function checkWorkingFolder(path: string): void {
  if (isFolder(path)) return
  const why = existsSync(path) ? 'is a file, not a folder' : 'does not exist'
  throw new ErrandError('invalid_argument', `The working folder ${path} ${why}.`)
}

/** Returns the program's file. Throws, with its name, if the program or the folder does not exist. */
export function checkLaunch({ argv, cwd, env }: Launch): string {
  checkWorkingFolder(cwd)
  const program = findProgram(argv[0]!, env.PATH ?? '', cwd)
  if (program === undefined)
    throw new ErrandError(
      'invalid_argument',
      argv[0]!.includes('/')
        ? `The program ${argv[0]} does not exist or cannot be run.`
        : `The program "${argv[0]}" is not installed: it is not in any folder of PATH (${env.PATH}).`,
    )
  return program
}

/** Limit in bytes for one argument or variable that Linux passes to a program. */
const MAX_TEXT_BYTES = 128 * 1024 - 1

/** Throws, with its name, if a variable or an argument exceeds what a program can be given. */
export function checkSizes(launch: Launch): void {
  const texts = [
    ...launch.argv,
    ...Object.entries(launch.env).map(([name, value]) => `${name}=${value ?? ''}`),
  ]
  if (texts.some((text) => Buffer.byteLength(text) > MAX_TEXT_BYTES))
    throw new ErrandError('invalid_argument', tooBig(launch))
}

/** Returns a text that says why a process could not start, and names the cause. */
export function startFailure(error: unknown, launch: Launch): string {
  if (isErrandError(error)) return messageWithHint(error)
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'E2BIG') return tooBig(launch)
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') {
    try {
      checkLaunch(launch)
    } catch (found) {
      return (found as Error).message
    }
  }
  if (code === 'EAGAIN')
    return 'This machine cannot start another process (EAGAIN): its process limit is reached.'
  return `${launch.argv[0]} could not be started: ${message}.`
}

function tooBig({ argv, env }: Launch): string {
  const sizes = Object.entries(env).map(([name, value = '']) => ({ name, bytes: Buffer.byteLength(value) }))
  const largest = sizes.reduce((a, b) => (b.bytes > a.bytes ? b : a), { name: '', bytes: 0 })
  const bytes = [...sizes.map((each) => each.bytes), ...argv.map((text) => Buffer.byteLength(text))].reduce(
    (a, b) => a + b,
    0,
  )
  return (
    `The variables are too large to start a process (${bytes} bytes in total). The largest is ${largest.name} ` +
    `with ${largest.bytes} bytes. Write it to a file and pass its path.`
  )
}
