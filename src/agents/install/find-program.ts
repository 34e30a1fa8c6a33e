import { execFile } from 'node:child_process'
import { accessSync, closeSync, constants, openSync, readSync, realpathSync, statSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import type { AgentInstall, AgentPlaces, Located } from '../agent.ts'
import { installCommand, installedVersion, nativeIn } from './native-binary.ts'

export interface ProgramSought extends AgentPlaces {
  /** Name of the agent. */
  name: string
  install: AgentInstall
}

/** Finds the program that Errand installed, or otherwise the native program behind the one on PATH. Never throws. */
export async function findProgram({ name, install, folder, env }: ProgramSought): Promise<Located> {
  const own = join(folder, name)
  const version = installedVersion(own, install)
  const native = nativeIn(own, install)
  if (version !== undefined && native !== undefined)
    return { type: 'found', program: { path: native, version } }
  const { program } = install
  const path = onPath(program, env)
  if (path !== undefined) return await fromPath(path, name, install, env)
  if (version !== undefined) {
    const machine = `${process.platform}-${process.arch}`
    return { type: 'broken', why: `${own} has no ${install.package} program for ${machine}` }
  }
  return { type: 'missing', why: `${install.package} is not in ${folder}, nor is "${program}" on PATH` }
}

async function fromPath(
  path: string,
  name: string,
  install: AgentInstall,
  env: NodeJS.ProcessEnv,
): Promise<Located> {
  try {
    const native = behind(path, install)
    if (native === undefined) {
      const why = `${path} is a script, and the native program that it starts was not found next to it`
      return { type: 'broken', why: `${why}; run: ${installCommand(name)}` }
    }
    return { type: 'found', program: { path: native, version: await programVersion(native, env) } }
  } catch (error) {
    return { type: 'broken', why: (error as Error).message }
  }
}

/** Finds the native program as its wrapper does: killing only the wrapper would leave the program running. */
function behind(path: string, install: AgentInstall): string | undefined {
  const real = realpathSync(path)
  if (!isScript(real)) return real
  for (let folder = dirname(real); ; folder = dirname(folder)) {
    const native = nativeIn(folder, install)
    if (native !== undefined || folder === dirname(folder)) return native
  }
}

function isScript(path: string): boolean {
  const descriptor = openSync(path, 'r')
  try {
    const start = Buffer.alloc(2)
    readSync(descriptor, start, 0, 2, 0)
    return start.toString('latin1') === '#!'
  } finally {
    closeSync(descriptor)
  }
}

function onPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  return (env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => resolve(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return statSync(path).isFile()
      } catch {
        return false
      }
    })
}

/** Returns the program's answer to `--version`. Throws an error with a short reason if there is no version in it. */
export async function programVersion(
  path: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<string> {
  const timeoutMs = 60_000
  const text = await new Promise<string>((resolve, reject) => {
    const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL', signal, maxBuffer: 1 << 20 } as const
    const child = execFile(path, ['--version'], options, (error, stdout, stderr) => {
      if (error === null) return resolve(`${stdout}\n${stderr}`)
      if (signal?.aborted) return reject(error)
      const tail = stderr.trim().split('\n').at(-1)
      const how =
        typeof error.code === 'number'
          ? `exited with code ${error.code}`
          : error.killed
            ? `did not answer within ${timeoutMs / 1000} s`
            : error.signal
              ? `was killed by ${error.signal}`
              : `did not start: ${error.message}`
      reject(new Error(`"${path} --version" ${how}${tail ? `: ${tail.slice(0, 300)}` : ''}`))
    })
    child.stdin?.end()
  })
  const version = /\d+\.\d+\.\d+[\w.+-]*/.exec(text)?.[0].replace(/\.$/, '')
  if (version === undefined)
    throw new Error(`"${path} --version" printed no version: ${text.trim().slice(0, 200)}`)
  return version
}
