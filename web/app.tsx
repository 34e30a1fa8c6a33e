import './styles/page.css'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiError } from './data/api.ts'
import { beginPages, Pages } from './router.tsx'

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      // A refusal stays a refusal, but a hub that is away comes back.
      retry: (count, error) => !(error instanceof ApiError && error.status >= 400) && count < 20,
      retryDelay: (count) => Math.min(500 * 2 ** count, 5000),
    },
  },
})

beginPages(client)
createRoot(document.getElementById('page')!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Pages />
    </QueryClientProvider>
  </StrictMode>,
)
