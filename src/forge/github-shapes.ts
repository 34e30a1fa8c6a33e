import * as z from 'zod'
import type { Comment, Issue, Person } from './forge.ts'

// The fields that Errand reads from GitHub's API and from APIs with the same paths, and their conversion to Errand's
// types.

/** Address of a page; a forge could send something that must not become a link. */
const WebUrl = z.string().regex(/^https?:\/\//, 'is not a web address')
export const User = z.object({ id: z.number(), login: z.string(), type: z.string().optional() }).nullish()
export const Label = z.object({ name: z.string(), id: z.number().optional() })
export const RepositoryShape = z.object({
  full_name: z.string(),
  default_branch: z.string(),
  private: z.boolean(),
  archived: z.boolean().default(false),
  html_url: WebUrl,
  permissions: z.object({ admin: z.boolean(), push: z.boolean(), pull: z.boolean() }).optional(),
})
export const IssueShape = z.object({
  number: z.number(),
  title: z.string(),
  body: z.string().nullish(),
  user: User,
  state: z.enum(['open', 'closed']),
  labels: z.array(Label).nullish(),
  html_url: WebUrl,
  created_at: z.string(),
  updated_at: z.string(),
  pull_request: z.unknown().optional(),
  content_version: z.number().optional(),
})
export const CommentShape = z.object({
  id: z.number(),
  user: User,
  body: z.string().nullish(),
  created_at: z.string(),
  updated_at: z.string(),
})
export const Ref = z.object({
  ref: z.string(),
  sha: z.string(),
  repo: z.object({ full_name: z.string() }).nullish(),
})
export const PullShape = z.object({
  number: z.number(),
  title: z.string(),
  body: z.string().nullish(),
  user: User,
  state: z.enum(['open', 'closed']),
  draft: z.boolean().optional(),
  merged: z.boolean().optional(),
  merged_at: z.string().nullish(),
  mergeable: z.boolean().nullish(),
  merge_commit_sha: z.string().nullish(),
  labels: z.array(Label).nullish(),
  head: Ref,
  base: Ref,
  html_url: WebUrl,
})

/** Converts a user; a deleted account becomes "ghost". */
export const personOf = (user: z.infer<typeof User>): Person =>
  user === null || user === undefined
    ? { id: '', login: 'ghost', isBot: false }
    : { id: String(user.id), login: user.login, isBot: user.type === 'Bot' || user.login.endsWith('[bot]') }

export const issueOf = (shape: z.infer<typeof IssueShape>): Issue => ({
  number: shape.number,
  title: shape.title,
  body: shape.body ?? '',
  author: personOf(shape.user),
  state: shape.state,
  labels: (shape.labels ?? []).map(({ name }) => name),
  webUrl: shape.html_url,
  createdAt: shape.created_at,
  updatedAt: shape.updated_at,
})

export const commentOf = (shape: z.infer<typeof CommentShape>): Comment => ({
  id: String(shape.id),
  author: personOf(shape.user),
  body: shape.body ?? '',
  createdAt: shape.created_at,
  updatedAt: shape.updated_at,
})

/** Query for the page size: GitHub reads `per_page`, Gitea reads `limit`. */
export const PAGE = { per_page: 100, limit: 50 }
