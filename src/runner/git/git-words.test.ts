import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GitRefused, reasonOfWords, withRetries } from './git-words.ts'

const cases: readonly [string, string | undefined][] = [
  ["fatal: Authentication failed for 'https://h/o/r.git/'", 'repo_auth'],
  ["fatal: could not read Username for 'https://h': terminal prompts disabled", 'repo_auth'],
  ['git@github.com: Permission denied (publickey).', 'repo_auth'],
  ['fatal: unable to access https://h/: The requested URL returned error: 403', 'repo_auth'],
  ["fatal: repository 'https://h/o/r.git/' not found", 'repo_not_found'],
  ['ERROR: Repository not found.\nfatal: Could not read from remote repository.', 'repo_not_found'],
  ["fatal: '/srv/x' does not appear to be a git repository", 'repo_not_found'],
  ["fatal: couldn't find remote ref refs/heads/gone", 'base_missing'],
  ['fatal: remote error: upload-pack: not our ref 1234', 'base_missing'],
  ['fatal: unable to access: Could not resolve host: h', 'host_unreachable'],
  ['error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502', 'host_unreachable'],
  ['fatal: the remote end hung up unexpectedly\nfatal: early EOF', 'host_unreachable'],
  ['fatal: write error: No space left on device', 'disk_full'],
  ["error: unable to write file a/b\nfatal: Could not reset index file to revision 'x'.", 'disk_full'],
  ['fatal: write error: File too large\nfatal: fetch-pack: invalid index-pack output', 'disk_full'],
  [
    'remote: fatal: write error: No space left on device\n ! [remote rejected] x -> x (unpacker error)',
    'push_refused',
  ],
  ["fatal: transport 'ext' not allowed", 'repo_refused'],
  ['Host key verification failed.', 'repo_refused'],
  ['ERROR: The key you are authenticating with has been marked as read only.', 'push_denied'],
  ['remote: Permission to o/r.git denied to bot.', 'push_denied'],
  ['remote: error: GH006: Protected branch update failed for refs/heads/main.', 'protected_branch'],
  [' ! [rejected] x -> x (stale info)', 'branch_moved'],
  [' ! [rejected] x -> x (fetch first)', 'branch_moved'],
  [' ! [remote rejected] x -> x (pre-receive hook declined)', 'push_refused'],
  ['fatal: something that nobody has seen', undefined],
]

test('messages of git and of servers are classified by their reason', () => {
  for (const [words, reason] of cases) assert.equal(reasonOfWords(words.split('\n')), reason, words)
})

test('an unreachable server is asked again after growing waits, and other errors are not retried', async () => {
  const pauses: number[] = []
  const reported: string[] = []
  let tries = 0
  const retries = {
    retries: 3,
    signal: new AbortController().signal,
    report: (message: string) => reported.push(message),
    pause: async (ms: number) => void pauses.push(ms),
  }
  const fails = (reason: 'host_unreachable' | 'repo_auth') => async () => {
    tries++
    throw new GitRefused(reason, 'It is away.')
  }
  await assert.rejects(withRetries(fails('host_unreachable'), retries), { reason: 'host_unreachable' })
  assert.deepEqual([tries, pauses], [4, [1_000, 2_000, 4_000]])
  assert.equal(reported[0], 'It is away. Trying again in 1 s.')
  tries = 0
  await assert.rejects(withRetries(fails('repo_auth'), retries), { reason: 'repo_auth' })
  assert.equal(tries, 1)
})
