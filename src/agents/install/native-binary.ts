import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, sep } from 'node:path'
import { setting } from '../../config/read-setting.ts'
import { type Machine, type Pin, pins } from './pins.ts'

/** Beside the node_modules of an agent that unpacks itself. */
export const CACHE = 'cache'

/** Where agents are installed for this user: ERRAND_AGENTS_DIR, or below the home folder. */
export function agentsFolder(env: NodeJS.ProcessEnv): string {
  return setting(env, 'ERRAND_AGENTS_DIR') ?? join(env.HOME || homedir(), '.errand', 'agents')
}

export function thisMachine(): Machine {
  const { platform, arch } = process
  return { platform, arch, old: platform === 'linux' && arch === 'x64' && !hasAvx2() }
}

function hasAvx2(): boolean {
  try {
    return /\bavx2\b/.test(readFileSync('/proc/cpuinfo', 'latin1'))
  } catch {
    return true
  }
}

/** The program of `pin` in a folder that has a node_modules. */
export function nativeIn(folder: string, pin: Pin, machine = thisMachine()): string | undefined {
  return pin
    .natives(machine)
    .map((path) => join(folder, 'node_modules', path))
    .find((path) => existsSync(path))
}

/** The native program of an installed agent; undefined where it is not installed (for this kind of machine). */
export function nativeBinary(folder: string, name: string, machine = thisMachine()): string | undefined {
  const pin = (pins as Record<string, Pin>)[name]
  return pin && nativeIn(join(folder, name), pin, machine)
}

/** For the program's `cacheVariable`: the folder filled at its install; undefined for one Errand did not install. */
export function sharedCache(programPath: string): string | undefined {
  const end = programPath.lastIndexOf(`${sep}node_modules${sep}`)
  const cache = join(programPath.slice(0, Math.max(end, 0)), CACHE)
  return end > 0 && existsSync(cache) ? cache : undefined
}

/** The version of the package in `<folder>/node_modules`. */
export function installedVersion(folder: string, pin: Pin): string | undefined {
  try {
    const text = readFileSync(join(folder, 'node_modules', pin.package, 'package.json'), 'utf8')
    const { version } = JSON.parse(text) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
