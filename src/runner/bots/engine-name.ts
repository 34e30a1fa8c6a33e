import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomText } from '../../contract/random-text.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

const file = (stateDir: string): string => join(stateDir, 'engine-name')

/** Whether this folder's runner has had a bot: only then anything of it can be at an engine. */
export const hasEngineName = (stateDir: string): boolean => existsSync(file(stateDir))

/** The label of a runner's containers and images: of its folder, so that two with one id are told apart. */
export function engineName(stateDir: string): string {
  if (hasEngineName(stateDir)) return readFileSync(file(stateDir), 'utf8')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const name = `errand-${randomText(16)}`
  writeFileAtomic(file(stateDir), name, { mode: 0o600 })
  return name
}
