import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import type { Agent, Program } from '../agent.ts'
import { type AskedFor, type AskFinding, checkAsks } from './ask-check.ts'

/** Checks each version of a program once, and keeps in a file what was found. */
export function checkedOnce(
  file: string,
): (agent: Agent, program: Program, asked: AskedFor, signal: AbortSignal) => Promise<AskFinding> {
  const running = new Map<string, Promise<AskFinding>>()
  return async (agent, program, asked, signal) => {
    // As the session starts it, it hangs on that session's settings, and on files that nobody here knows.
    if (!agent.modelAt) return await checkAsks(agent, program, asked, signal)
    const key = keyOf(agent, program)
    const known = read(file)[key]
    if (known) return known
    const check = running.get(key) ?? checkAsks(agent, program, asked, new AbortController().signal)
    running.set(key, check)
    try {
      const finding = await check
      if (finding.type === 'asks' || (finding.type === 'refused' && finding.sure)) keep(file, key, finding)
      return finding
    } finally {
      running.delete(key)
    }
  }
}

function keyOf(agent: Agent, { path, version }: Program): string {
  const mtimeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return [agent.name, path, version, mtimeMs].join('\n')
}

function read(file: string): Record<string, AskFinding> {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}

function keep(file: string, key: string, finding: AskFinding): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileAtomic(file, JSON.stringify({ ...read(file), [key]: finding }), { mode: 0o600, durable: false })
}
