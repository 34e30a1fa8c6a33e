import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { Component, type ComponentType, type ReactNode, useEffect } from 'react'
import { filterOf } from './data/run-filter.ts'
import type { RunFilter } from './data/runs.ts'
import { meQuery, safeNext } from './data/session.ts'
import { type TaskFilter, taskFilterOf } from './data/task-filter.ts'
import { navigation, type Page, type Path, useCurrentPage } from './navigation/navigation.tsx'
import { heldKeys } from './parts/held-keys.ts'
import { RunPage } from './run/run-page.tsx'
import { type RunSearch, runSearch } from './run/run-search.ts'
import { RunsPage } from './runs/runs-page.tsx'
import { NotThere, Shell, Trouble } from './shell/shell.tsx'
import { type TaskSearch, taskSearch } from './tasks/task-search.ts'

type None = Record<string, never>
interface NewSearch {
  from?: string
  kind?: string
  issue?: string
  /** A value for an input, from a link. */
  [input: `input.${string}`]: string | undefined
}

declare module './navigation/navigation.tsx' {
  interface Addresses {
    '/': None
    '/login': { next?: string }
    '/runs': RunFilter
    '/runs/$run': RunSearch
    '/new': NewSearch
    '/sessions': RunFilter
    '/tasks': TaskFilter
    '/tasks/$task': TaskSearch
    '/settings': None
    '/settings/runners': { add?: string; runner?: string }
    '/settings/me': None
    '/settings/tokens': None
    '/settings/groups': None
    '/settings/secrets': None
    '/settings/tenants': None
    '/settings/users': None
    '/settings/about': None
  }
}

const pages: readonly (Page & { path: Path | '/styleguide' })[] = [
  { path: '/', leads: '/runs' },
  { path: '/runs', component: RunsPage, search: filterOf },
  { path: '/runs/$run', component: RunPage, search: runSearch },
  {
    path: '/login',
    load: async () => (await import('./login/login-page.tsx')).LoginPage,
    search: ({ next }) => (next === undefined ? {} : { next: safeNext(next) }),
    outside: true,
  },
  {
    path: '/new',
    load: async () => (await import('./new/new-run.tsx')).NewRun,
    search: (search) =>
      Object.fromEntries(
        Object.entries(search).filter(([name]) => /^(?:from|kind|issue|input\..+)$/.test(name)),
      ),
  },
  {
    path: '/sessions',
    load: async () => (await import('./sessions/sessions-page.tsx')).SessionsPage,
    search: filterOf,
  },
  {
    path: '/tasks',
    load: async () => (await import('./tasks/tasks-page.tsx')).TasksPage,
    search: taskFilterOf,
  },
  {
    path: '/tasks/$task',
    load: async () => (await import('./tasks/task-page.tsx')).TaskPage,
    search: taskSearch,
  },
  {
    path: '/settings/runners',
    load: async () => (await import('./runners/runners-page.tsx')).RunnersPage,
    search: ({ add, runner }) => ({
      ...(add === '1' ? { add } : {}),
      ...(runner === undefined || runner === '' ? {} : { runner }),
    }),
  },
  { path: '/settings', leads: '/settings/me' },
  { path: '/settings/me', load: async () => (await import('./settings/me-page.tsx')).MePage },
  { path: '/settings/tokens', load: async () => (await import('./settings/tokens-page.tsx')).TokensPage },
  { path: '/settings/groups', load: async () => (await import('./settings/groups-page.tsx')).GroupsPage },
  { path: '/settings/secrets', load: async () => (await import('./settings/secrets-page.tsx')).SecretsPage },
  { path: '/settings/tenants', load: async () => (await import('./settings/tenants-page.tsx')).TenantsPage },
  { path: '/settings/users', load: async () => (await import('./settings/users-page.tsx')).UsersPage },
  { path: '/settings/about', load: async () => (await import('./settings/about-page.tsx')).AboutPage },
  ...(import.meta.env.DEV
    ? [
        {
          path: '/styleguide' as const,
          load: async () => (await import('./styleguide/styleguide-page.tsx')).StyleguidePage,
          outside: true,
        },
      ]
    : []),
]

/** Shows the page at the browser's address, and follows its later addresses. */
export function beginPages(client: QueryClient): void {
  navigation.begin(pages, (page, href) => {
    if (page?.outside || client.getQueryData(meQuery.queryKey) !== undefined) return undefined
    return client.ensureQueryData(meQuery).then(
      () => undefined,
      (error) => {
        if ((error as { status?: number }).status !== 401) throw error
        return `/login?${new URLSearchParams({ next: href })}`
      },
    )
  })
}

/** Shows the current page inside the frame that all pages share. */
export function Pages() {
  const place = useCurrentPage()
  const isSomebody = useQueryClient().getQueryData(meQuery.queryKey) !== undefined
  // Runs after the effects of the page, which listen to keys.
  useEffect(() => {
    if (place !== undefined) heldKeys.begin()
  }, [place])
  if (place === undefined) return null
  const { page, failure } = place
  const trouble = failure !== undefined && <Trouble error={failure} again={() => void navigation.again()} />
  const Shown = page === undefined ? NotThere : (navigation.componentOf(page) as ComponentType)
  if (trouble && (page?.outside || !isSomebody)) return trouble
  return (
    <Guarded place={place}>
      {page?.outside ? (
        <Shown />
      ) : (
        <Shell>
          <Guarded place={place}>{trouble || <Shown />}</Guarded>
        </Shell>
      )}
    </Guarded>
  )
}

interface GuardedProps {
  place: object
  children: ReactNode
}

/** Says in a page's place what has gone wrong with it, until another address is opened. */
class Guarded extends Component<GuardedProps, { error?: unknown; place?: object }> {
  override state: { error?: unknown; place?: object } = {}
  static getDerivedStateFromError(error: unknown) {
    return { error }
  }
  static getDerivedStateFromProps({ place }: GuardedProps, was: { place?: object }) {
    return was.place === place ? null : { place, error: undefined }
  }
  override render() {
    const { error } = this.state
    if (error === undefined) return this.props.children
    return <Trouble error={error} again={() => void navigation.again()} />
  }
}
