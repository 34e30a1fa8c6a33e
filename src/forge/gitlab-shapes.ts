import * as z from 'zod'
import type { Check, Comment, CommitState, Issue, Person, Pull, Right } from './forge.ts'
import { isDraftTitle } from './marks.ts'

// The fields that Errand reads from GitLab's API, and their conversion to Errand's types.

/** Address of a page; a forge could send something that must not become a link. */
const WebUrl = z.string().regex(/^https?:\/\//, 'is not a web address')
export const User = z.object({ id: z.number(), username: z.string(), bot: z.boolean().optional() }).nullish()
export const Access = z.object({ access_level: z.number() }).nullish()
export const Project = z.object({
  id: z.number(),
  path_with_namespace: z.string(),
  default_branch: z.string().nullish(),
  visibility: z.string().optional(),
  archived: z.boolean().default(false),
  web_url: WebUrl,
  permissions: z.object({ project_access: Access, group_access: Access }).optional(),
})
export const IssueShape = z.object({
  iid: z.number(),
  title: z.string(),
  description: z.string().nullish(),
  author: User,
  state: z.enum(['opened', 'closed']),
  labels: z.array(z.string()),
  web_url: WebUrl,
  created_at: z.string(),
  updated_at: z.string(),
})
export const Note = z.object({
  id: z.number(),
  body: z.string(),
  author: User,
  system: z.boolean().default(false),
  created_at: z.string(),
  updated_at: z.string(),
  resolved: z.boolean().optional(),
  position: z
    .object({
      new_path: z.string().nullish(),
      new_line: z.number().nullish(),
      old_path: z.string().nullish(),
      old_line: z.number().nullish(),
      head_sha: z.string().nullish(),
    })
    .nullish(),
})
export const Discussion = z.object({ id: z.string(), notes: z.array(Note) })
export const MergeRequest = z.object({
  iid: z.number(),
  title: z.string(),
  description: z.string().nullish(),
  author: User,
  state: z.enum(['opened', 'closed', 'locked', 'merged']),
  draft: z.boolean().optional(),
  labels: z.array(z.string()),
  source_branch: z.string(),
  target_branch: z.string(),
  source_project_id: z.number().nullish(),
  target_project_id: z.number(),
  sha: z.string().nullish(),
  detailed_merge_status: z.string().optional(),
  merge_commit_sha: z.string().nullish(),
  squash_commit_sha: z.string().nullish(),
  reviewers: z.array(User).nullish(),
  web_url: WebUrl,
})
export const LabelEvent = z.object({
  user: User,
  created_at: z.string(),
  label: z.object({ name: z.string() }).nullable(),
  action: z.string(),
})
export const StatusShape = z.object({
  id: z.number(),
  name: z.string(),
  status: z.string(),
  description: z.string().nullish(),
  target_url: z.string().nullish(),
  allow_failure: z.boolean().default(false),
})
export const Reviewer = z.object({ user: User, state: z.string(), created_at: z.string().optional() })

/** Lowest access level that may push; 20 is a reporter, 40 a maintainer. */
export const DEVELOPER = 30
const MAINTAINER = 40

export const statusWords: Readonly<Record<CommitState, string>> = {
  pending: 'pending',
  success: 'success',
  failure: 'failed',
  error: 'failed',
}
export const statusResults: Readonly<Record<string, Check['result']>> = {
  created: 'running',
  waiting_for_resource: 'running',
  preparing: 'running',
  pending: 'running',
  running: 'running',
  scheduled: 'running',
  success: 'passed',
  failed: 'failed',
}

export function rightAt(level: number, isOpen: boolean): Right {
  if (level >= MAINTAINER) return 'admin'
  if (level >= DEVELOPER) return 'write'
  return level >= 10 || isOpen ? 'read' : 'none'
}

export const personOf = (user: z.infer<typeof User>): Person =>
  user === null || user === undefined
    ? { id: '', login: 'ghost', isBot: false }
    : {
        id: String(user.id),
        login: user.username,
        isBot: user.bot === true || /^(project|group)_\d+_bot/.test(user.username),
      }

export const issueOf = (shape: z.infer<typeof IssueShape>): Issue => ({
  number: shape.iid,
  title: shape.title,
  body: shape.description ?? '',
  author: personOf(shape.author),
  state: shape.state === 'opened' ? 'open' : 'closed',
  labels: shape.labels,
  webUrl: shape.web_url,
  createdAt: shape.created_at,
  updatedAt: shape.updated_at,
})

export const commentOf = (shape: z.infer<typeof Note>): Comment => ({
  id: String(shape.id),
  author: personOf(shape.author),
  body: shape.body,
  createdAt: shape.created_at,
  updatedAt: shape.updated_at,
})

export function pullOf(shape: z.infer<typeof MergeRequest>): Pull {
  const status = shape.detailed_merge_status
  return {
    number: shape.iid,
    title: shape.title,
    body: shape.description ?? '',
    state: shape.state === 'merged' ? 'merged' : shape.state === 'closed' ? 'closed' : 'open',
    isDraft: shape.draft ?? isDraftTitle(shape.title),
    author: personOf(shape.author),
    labels: shape.labels,
    head: shape.source_branch,
    base: shape.target_branch,
    headSha: shape.sha ?? '',
    isSameRepository: shape.source_project_id === shape.target_project_id,
    mergeable:
      status === undefined || /^(unchecked|checking|preparing)$/.test(status)
        ? undefined
        : !/^(conflict|broken_status)$/.test(status),
    mergeSha: shape.merge_commit_sha ?? shape.squash_commit_sha ?? undefined,
    webUrl: shape.web_url,
  }
}
