import type { Artifact } from '../../src/contract/tasks/artifact.ts'
import { address, request } from './api.ts'

/** Maximum number of bytes of a diff that the page reads. */
const MOST_BYTES = 8 * 1024 * 1024

/** The text of a diff; `cutAt` is the number of bytes read if the diff has more. */
export interface ChangeText {
  text: string
  cutAt?: number
}

/**
 * Reads the change that a run or task (`/api/runs/ID`, `/api/tasks/ID`) stored last, or one of its commits, counted
 * from 1.
 */
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
    // The last line may be incomplete.
    return { text: text.slice(0, text.lastIndexOf('\n') + 1), cutAt: bytes }
  }
}

export const changeAddress = (of: string): string => address(`${of}/diff`)

export interface StoredChange {
  run: string
  /** Number of its commits that are stored as patches. */
  commits: number
  /** Id of the artifact that lists its files as JSON. */
  files?: string
}

const attemptOf = ({ artifact_id }: Artifact) => artifact_id.slice(0, artifact_id.lastIndexOf('.'))

/**
 * Returns the last change among the stored artifacts: a diff and the artifacts that the same attempt stored beside
 * it. Returns undefined if there is no diff.
 */
export function storedChange(
  artifacts: readonly { run_id: string; artifact: Artifact }[],
): StoredChange | undefined {
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

/** A file of a change, as listed by the hub: its kind, and the decision of the rules for protected files. */
export interface JudgedFile {
  path: string
  kind?: 'test' | 'ci' | 'hook' | 'owners' | 'submodule'
  decision?: 'forbid' | 'ask' | 'flag'
}

export async function judgedFiles({ run, files }: StoredChange, signal: AbortSignal): Promise<JudgedFile[]> {
  if (files === undefined) return []
  const path = `/api/runs/${encodeURIComponent(run)}/artifacts/${encodeURIComponent(files)}`
  const response = await request('GET', path, { headers: { accept: '*/*' }, signal })
  const list = (await response.json()) as { files?: JudgedFile[] }
  return list.files ?? []
}
