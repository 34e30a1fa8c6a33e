import { queryOptions } from '@tanstack/react-query'
import type { CreateViewInput, PatchView, SavedView, ViewList } from '../../src/contract/runs/saved-views.ts'
import { ask } from './api.ts'

export type { SavedView }

/** Lists the saved filters of runs: the person's own and those shared with everybody. */
export const viewsQuery = queryOptions({
  queryKey: ['views'],
  queryFn: async ({ signal }) => (await ask<ViewList>('GET', '/api/views', { signal })).views,
  refetchOnWindowFocus: 'always',
})

const of = (id: string) => `/api/views/${encodeURIComponent(id)}`

export const saveView = (body: CreateViewInput) => ask<SavedView>('POST', '/api/views', { body })
export const changeView = (id: string, body: PatchView) => ask<SavedView>('PATCH', of(id), { body })
export const removeView = (id: string) => ask('DELETE', of(id))
