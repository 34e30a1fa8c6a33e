import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importsOf } from './imports.ts'

/** What `ERRAND_TEST_WITHOUT` hides. */
export const services = ['docker', 'kubernetes', 'agents', 'guests', 'sandboxes', 'browsers']

/** How a test, or what supports it, comes to a service of the machine, or finds that there is none. */
const ASKS =
  /\b(DOCKER_HOST|DOCKER_SOCK|ERRAND_AGENTS_DIR|ERRAND_TEST_WITHOUT|ERRAND_TEST_NO_SKIPS|agentsFolder|connectedDocker)\b/

/**
 * Answers whether a test file asks for a service that `ERRAND_TEST_WITHOUT` can hide: itself, or what it imports of the
 * tests' support. Product code counts for nothing: it has to do without each of them.
 */
export function serviceAsker(root: string): (file: string) => boolean {
  const known = new Map<string, { asks: boolean; imports: string[] }>()
  const read = (file: string) => {
    const path = join(root, file)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const imports = importsOf(file, text).filter(({ target, kind }) => kind !== 'type' && isOfTests(target))
    const found = { asks: ASKS.test(text), imports: imports.map(({ target }) => target) }
    known.set(file, found)
    return found
  }
  return (file) => {
    const reached = new Set([file])
    // A set goes through what is added meanwhile too.
    for (const each of reached) {
      const { asks, imports } = known.get(each) ?? read(each)
      if (asks) return true
      for (const target of imports) reached.add(target)
    }
    return false
  }
}

const isOfTests = (file: string): boolean => /^(test|bench)\//.test(file)
