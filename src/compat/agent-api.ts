import {
  type AgentRequestInput,
  type ChatRequest,
  OldMetadata as Metadata,
  type OldInput,
  type OldMetadata,
} from '../contract/agent-api.ts'
import { ErrandError } from '../contract/errors.ts'
import type { BoxAsk } from '../contract/isolation.ts'

/** The names with which callers of the agent API choose an agent instead of a model. */
const agentsAsModels: Readonly<Record<string, string>> = {
  claude: 'claude_code',
  claude_code: 'claude_code',
  codex: 'codex',
  opencode: 'opencode',
  copilot: 'copilot',
}

/**
 * Converts `{input: {text}, metadata}` of the agent API. Throws `bad_request`, and `invalid_argument` for attachments.
 */
export function oldAgentRequest(
  input: OldInput,
  metadata: OldMetadata = Metadata.parse({}),
): AgentRequestInput {
  refuseAttachments('body.input.attachments', input.attachments)
  const { agent_type, working_dir, cwd, timeout_secs, model, extra_args, env } = metadata
  const { isolation, network, image } = metadata
  if (working_dir && cwd && working_dir !== cwd)
    throw new ErrandError('bad_request', 'body.metadata: "working_dir" and "cwd" name different folders.', {
      hint: 'They mean the same; give one of them.',
    })
  return {
    prompt: input.text,
    agent: agent_type,
    cwd: working_dir ?? cwd ?? undefined,
    model: model ?? undefined,
    extra_args,
    env: env ?? undefined,
    timeout_seconds: timeout_secs,
    ...boxOf({ isolation, network, image }),
  }
}

/** Converts the body of `POST /api/chat`. Throws `invalid_argument` for attachments. */
export function chatAgentRequest(chat: ChatRequest, timeoutSeconds: number): AgentRequestInput {
  refuseAttachments('body.attachments', chat.attachments)
  const { message, model, agent_type, cwd, env } = chat
  const named = agent_type ? undefined : agentsAsModels[model ?? '']
  return {
    prompt: message,
    agent: agent_type ?? named ?? 'claude_code',
    model: named === undefined ? (model ?? undefined) : undefined,
    cwd: cwd ?? undefined,
    env: env ?? undefined,
    timeout_seconds: timeoutSeconds,
    ...boxOf(chat),
  }
}

const boxOf = ({
  isolation,
  network,
  image,
}: Pick<ChatRequest, 'isolation' | 'network' | 'image'>): BoxAsk => ({
  isolation: isolation ?? undefined,
  network: network ?? undefined,
  image: image ?? undefined,
})

/** Refuses attachments: an agent that did not get them would answer as if it had seen them. */
function refuseAttachments(field: string, attachments: readonly unknown[] | undefined): void {
  if (attachments === undefined || attachments.length === 0) return
  throw new ErrandError('invalid_argument', `${field}: this API does not pass attachments to agents.`, {
    hint: 'Put the files into the working folder of the agent (cwd), and name them in the text.',
  })
}
