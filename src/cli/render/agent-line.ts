import type { AgentUpdate } from '../../contract/agent.ts'
import { answerText, questionText } from './agent-permission.ts'
import { AgentTools } from './agent-tools.ts'
import type { Color } from './palette.ts'

export interface AgentLine {
  color: Color
  text: string
}

/** Of a step that is an agent's session, what a person reads beside its output, which is what the agent says. */
export class AgentLines {
  readonly #tools = new AgentTools()

  add(update: AgentUpdate): AgentLine | undefined {
    switch (update.kind) {
      case 'tool': {
        const { ended } = this.#tools.follow(update)
        if (ended === undefined) return undefined
        return {
          color: ended.status === 'completed' ? 'dim' : 'yellow',
          text: `${ended.status} ${ended.label}`,
        }
      }
      case 'permission':
        return { color: 'yellow', text: questionText(update) }
      case 'permission_answered':
        return { color: 'dim', text: answerText(update) }
      case 'verify':
        if (update.status === 'running') return undefined
        return {
          color: update.status === 'passed' ? 'green' : 'red',
          text: `verify ${update.status}: ${update.command}`,
        }
      case 'retry':
        return { color: 'yellow', text: `the model service failed (${update.failure}), tried again` }
      case 'notice':
        return { color: 'dim', text: update.text }
      default:
        return undefined
    }
  }
}
