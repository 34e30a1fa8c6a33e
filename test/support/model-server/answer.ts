import type { ModelRequest, RequestContent } from './request.ts'
import type { TurnUsage } from './script.ts'
import type { ToolCall } from './tool-choice.ts'

/** A turn made concrete for a request. */
export interface Answer {
  /** Unique within the server; ids in the answer are made of it. */
  number: number
  thought: string
  text: string
  calls: readonly (ToolCall & { id: string })[]
  usage: TurnUsage
  stop: 'through' | 'max_tokens' | 'refusal'
}

/** A server-sent event; without a name only its data is sent. */
export interface StreamEvent {
  name?: string
  data: unknown
}

/** One vendor's way of asking and answering. */
export interface Dialect {
  api: ModelRequest['api']
  read(body: Record<string, unknown>): RequestContent
  /** Thought and text first, so that an answer can hang after them: then `tail` is not sent. */
  stream(answer: Answer, request: ModelRequest): { head: StreamEvent[]; tail: StreamEvent[] }
  /** Sent after the last event, as it is. */
  streamEnd?: string
  whole(answer: Answer, request: ModelRequest): unknown
  failure(status: number, message: string): unknown
}

/** Split so that a reader sees several pieces. */
export const pieces = (text: string): string[] => text.match(/[\s\S]{1,12}/gu) ?? []

export const failureType = (status: number): string =>
  ({
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    429: 'rate_limit_error',
    529: 'overloaded_error',
  })[status] ?? 'api_error'
