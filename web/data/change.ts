import type { Artifact } from '../../src/contract/tasks/artifact.ts'
import { address, request } from './api.ts'

/** So much of a diff is read into the page. */
const MOST_BYTES = 8 * 1024 * 1024

/** The text of a diff; `cutAt`: there is more than these bytes of it. */
export interface ChangeText {
  text: string
  cutAt?: number
}

/** Reads the change that a run or task (`/api/runs/ID`, `/api/tasks/ID`) has kept last, or a commit of it, from 1. */
export async function readChange(
  of: string,
  commit: number | undefined,
  signal: AbortSignal,
): Promise<ChangeText> {
  const response = await request('GET', `${of}/diff`, {
    query: { commit },
    headers: { accept: '*/*' },
    signal,
  })
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true }
    if (done || value === undefined) return { text: text + decoder.decode() }
    text += decoder.decode(value, { stream: true })
    bytes += value.length
    if (bytes < MOST_BYTES) continue
    await reader?.cancel()
    // The last line may be half.
    return { text: text.slice(0, text.lastIndexOf('\n') + 1), cutAt: bytes }
  }
}

export const changeAddress = (of: string): string => address(`${of}/diff`)

export interface KeptChange {
  run: string
  /** So many commits of it are kept as patches. */
  commits: number
  /** The list of its files, as JSON, by its id. */
  files?: string
}

const attemptOf = ({ artifact_id }: Artifact) => artifact_id.slice(0, artifact_id.lastIndexOf('.'))

/** The last change among what was kept: a diff, and what the same attempt has kept beside it. Undefined: there is none. */
export function keptChange(
  artifacts: readonly { run_id: string; artifact: Artifact }[],
): KeptChange | undefined {
  const last = artifacts.findLast(({ artifact }) => artifact.kind === 'diff')
  if (last === undefined) return undefined
  const beside = artifacts.filter(
    ({ run_id, artifact }) => run_id === last.run_id && attemptOf(artifact) === attemptOf(last.artifact),
  )
  const files = beside.findLast(({ artifact }) => artifact.kind === 'files')?.artifact.artifact_id
  return {
    run: last.run_id,
    commits: beside.filter(({ artifact }) => artifact.kind === 'patch').length,
    ...(files === undefined ? {} : { files }),
  }
}

/** A file of a change, as the hub's own list of it says: its kind, and what the rules for protected files say. */
export interface JudgedFile {
  path: string
  kind?: 'test' | 'ci' | 'hook' | 'owners' | 'submodule'
  decision?: 'forbid' | 'ask' | 'flag'
}

export async function judgedFiles({ run, files }: KeptChange, signal: AbortSignal): Promise<JudgedFile[]> {
  if (files === undefined) return []
  const path = `/api/runs/${encodeURIComponent(run)}/artifacts/${encodeURIComponent(files)}`
  const response = await request('GET', path, { headers: { accept: '*/*' }, signal })
  const list = (await response.json()) as { files?: JudgedFile[] }
  return list.files ?? []
}
