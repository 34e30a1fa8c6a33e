import type * as z from 'zod/mini'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { ForgePullRequestArgs } from '../../contract/tasks/actions.ts'
import type { ForgeKind } from '../../contract/tasks/forge.ts'
import { type RepositoryAddress, repositoryAddress } from '../../forge/address.ts'
import type { Forge } from '../../forge/forge.ts'
import { type EnsuredPull, ensurePull } from '../../forge/idempotent.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { fixedToken } from '../../forge/token-source.ts'
import { policyFetch } from '../git/policy-fetch.ts'
import type { GitPolicy } from '../git/remote.ts'
import { stepToken, type TokenOf } from '../git/repository-token.ts'
import { type PlatformContext, type PlatformStep, StepFailure } from './platform-step.ts'

type Args = z.infer<typeof ForgePullRequestArgs>

export interface ForgeStepOptions {
  /** Provides the token; default: the one that the step was given. */
  tokenOf?: TokenOf
  /** Policy for the servers that the machine may contact; absent: any. */
  policy?: GitPolicy
}

/** Limit in ms for a wait that a forge requests, if the step's timeout is not sooner. */
const MOST_WAIT_MS = 15 * 60_000

/**
 * Makes the step that opens the pull request of a pushed branch, or updates one that is open already, so that the step
 * may be repeated after any end. Labels, reviewers and the commit's status that could not be set are only reported in
 * its log. Throws `StepFailure` `pull_request`, which names the branch and where to open the pull request by hand.
 */
export const forgePullRequest = ({ tokenOf = stepToken, policy }: ForgeStepOptions = {}): PlatformStep => ({
  async run(context) {
    const args = context.args as Args
    let byHand: string | undefined
    try {
      const address = repositoryAddress(args.repo)
      const { token } = (isAtOtherHost(args, address) ? stepToken : tokenOf)({
        spec: context.spec,
        env: context.env,
        args,
      })
      byHand = `${address.protocol}://${address.host}/${address.path}`
      if (!token)
        throw new ErrandError('repo_auth', `There is no token in ${args.token_env}.`, {
          hint: `Give the task a token that can open pull requests: errand secrets set GIT_TOKEN --host ${address.host}`,
        })
      const hosts =
        args.forge === undefined ? [] : [{ ...args.forge, host: address.host, kind: args.forge.kind }]
      const fetch = policy && policyFetch(policy)
      const found = await recogniseForge(address, { hosts, signal: context.signal, fetch })
      byHand = linkByHand(found.kind, address, args)
      const forge = openForge(found, address.path, {
        fetch,
        tokens: fixedToken(token),
        retryCount: args.retry_count,
        mostWaitMs: MOST_WAIT_MS,
        onWait: (ms) => writeLine(context, `${found.host} asks to wait for ${Math.ceil(ms / 1000)} s.`),
      })
      return { exports: await publish(context, args, forge) }
    } catch (error) {
      if (context.signal.aborted) throw error
      throw failure(args, error, byHand)
    }
  },
})

/**
 * Reports whether the API is at another host: a machine's own token is only sent to the host of the repository,
 * wherever a workflow says that its API is.
 */
function isAtOtherHost({ forge }: Args, { host }: RepositoryAddress): boolean {
  return forge?.api_url !== undefined && URL.parse(forge.api_url)?.host.toLowerCase() !== host
}

async function publish(context: PlatformContext, args: Args, forge: Forge): Promise<Record<string, string>> {
  const { signal } = context
  const { head, base, title, body, labels, reviewers, sha } = args
  context.phase('pull_request', `${head} → ${base} at ${forge.host}`)
  const how = { isDraft: args.draft, asksAgain: args.ask_again }
  const input = { head, base, title, body, labels, reviewers, ...how }
  const { pull, outcome, notices } = await ensurePull(forge, input, { signal, headSha: sha })
  // Reported before anything else may fail.
  const { number, state, isDraft, webUrl: url } = pull
  context.report({ type: 'pull_request', pull_request: { url, number, state, draft: isDraft, head } })
  writeLine(context, `Pull request ${number} ${words[outcome]}: ${url}`)
  for (const notice of notices) writeLine(context, notice, 'stderr')
  if (args.status !== undefined)
    try {
      await forge.setStatus(sha, args.status, { signal })
    } catch (error) {
      signal.throwIfAborted()
      writeLine(context, `The status of commit ${sha} could not be set: ${messageOf(error)}`, 'stderr')
    }
  return { PR_URL: url, PR_NUMBER: String(number), PR_STATE: state }
}

const words: Readonly<Record<EnsuredPull['outcome'], string>> = {
  created: 'is open now',
  updated: 'was updated',
  unchanged: 'is already open and up to date',
  closed: 'was closed by somebody and stays closed',
  merged: 'is already merged',
}

/** Writes a line to the step's log; a forge's text may have several. */
function writeLine(context: PlatformContext, text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
  context.write(stream, `${text.replace(/\s+/g, ' ')}\n`)
}

function failure({ head, sha, repo }: Args, error: unknown, byHand: string | undefined): StepFailure {
  const own = error instanceof ErrandError && error.hint ? ` ${error.hint}` : ''
  const link = byHand === undefined ? '' : ` Open the pull request by hand: ${byHand}`
  const where = byHand === undefined ? ` at ${repo}` : ''
  return new StepFailure(
    'pull_request',
    `${messageOf(error)} The branch ${head} is pushed${where} (${sha.slice(0, 12)}).`,
    `${own}${link}`.trim() || undefined,
  )
}

/** Returns the page of a forge on which a person opens the pull request of a branch. */
export function linkByHand(
  kind: ForgeKind,
  { protocol, host, path }: RepositoryAddress,
  { head, base }: { head: string; base: string },
): string {
  const repository = `${protocol}://${host}/${path}`
  const branch = (name: string) => name.split('/').map(encodeURIComponent).join('/')
  if (kind === 'gitlab') {
    const query = new URLSearchParams({
      'merge_request[source_branch]': head,
      'merge_request[target_branch]': base,
    })
    return `${repository}/-/merge_requests/new?${query}`
  }
  return `${repository}/compare/${branch(base)}...${branch(head)}${kind === 'github' ? '?expand=1' : ''}`
}
