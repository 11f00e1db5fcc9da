/** Shapes of the API that its description does not hold yet; goes when it does. */

export interface Evidence { means: string; seen: string; confidence: number }
export interface Service { name: string; title: string; category: string; version: string; confidence: number; evidence: Evidence[] }
export interface ServiceName { name: string; title: string; category: string }
export interface Order { targets: string[]; depth: 'none' | 'light' | 'full' }
export interface RunPhase { name: string; done: number; total: number | null }
export interface Coming {
  Order: Order
  Service: Service
  Evidence: Evidence
  ServiceName: ServiceName
  RunPhase: RunPhase
  Run: { kind: 'look' | 'scan'; order: Order | null; schedule_id: string | null; schedule_name: string | null; phases: RunPhase[] }
  RunLine: { id: string; at: string; event: string; level: string; text: string }
  Port: {
    id: string; network_id: string; host_id: string; host_name: string; ip: string; version: string; protocol: string; number: number; tls: boolean; says: string
    services: Service[]; service: string | null; title: string | null; category: string | null; confidence: number | null
    container_id: string | null; container_name: string | null; source: string; first_seen: string; last_seen: string; gone_at: string | null
  }
  ServiceCount: { id: string; name: string; title: string; category: string; host_count: number; port_count: number; container_count: number }
  Host: { depth: string; ports_at: string | null; round_trip_ms: number | null; mac: string | null; vendor: string; kind: string; services: ServiceName[]; port_count: number }
  Container: { network_id: string; host_name: string; services: Service[] }
  Schedule: {
    id: string; network_id: string; name: string; agent_id: string; agent_name: string; kind: 'look' | 'scan'; order: Order | null
    cron: string; timezone: string; words: string; skipped: string; enabled: boolean; next: string[]; last_run_id: string | null; last_run_at: string | null; created_at: string
  }
  ScheduleReading: { words: string; next: string[] }
  Found: { kind: string; id: string; title: string; detail: string; host_id: string | null }
  MapHost: { kind: string }
  MapWorkload: {
    id: string; host_id: string; kind: 'service' | 'container'; label: string; service: string; category: string
    container_id: string | null; ports: number[]
  }
}
