//! What befalls processes, devices, nodes and sessions, between any two steps.

use perennial_core::SessionId;

use crate::device::{Life, ProcessId};
use crate::network::up_to;
use crate::world::queue::{Happening, Waking};
use crate::world::{Trouble, World};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

impl World {
    pub(super) fn befall(&mut self, trouble: Trouble) {
        let device = self.dice.index(self.devices.len());
        let process = self.dice.index(self.devices[device].processes.len());
        let id = ProcessId { device, process };
        let node = self.dice.index(self.server.nodes.len());
        self.counts.troubles += 1;
        self.note(format_args!("{trouble:?} (device {device} process {process}, or node {node})"));
        match trouble {
            Trouble::ProcessKilled => self.kill(id, 60 * SECOND_MS),
            Trouble::ProcessSuspended => {
                let for_ms = up_to(&mut self.dice, 3 * HOUR_MS);
                self.suspend(id, for_ms, Waking::Unnoticed);
            }
            Trouble::DeviceAsleep => {
                let for_ms = up_to(&mut self.dice, 20 * DAY_MS);
                for process in 0..self.devices[device].processes.len() {
                    self.suspend(ProcessId { device, process }, for_ms, Waking::FromSleep);
                }
            }
            Trouble::DeviceRebooted => {
                for process in 0..self.devices[device].processes.len() {
                    self.kill(ProcessId { device, process }, 300 * SECOND_MS);
                }
                let at_ms = self.at_ms;
                let device = &mut self.devices[device];
                device.booted_at_ms = at_ms;
                device.boot_id += 1;
            }
            Trouble::DeviceClockJumped => {
                let off_ms = i64::try_from(up_to(&mut self.dice, DAY_MS)).unwrap_or(0);
                let sign = [-1, 0, 1][self.dice.index(3)];
                self.devices[device].wall_ahead_ms = sign * off_ms;
            }
            Trouble::NetworkChanged => {
                self.devices[device].network = u8::try_from(self.dice.below(8)).unwrap_or(0);
            }
            Trouble::NodeKilled => self.kill_node(node),
            Trouble::NodeClockJumped => {
                let behind_ms = if self.dice.chance(50) { 0 } else { up_to(&mut self.dice, HOUR_MS) };
                self.server.nodes[node].wall_behind_ms = behind_ms;
            }
            Trouble::FailedOver => {
                let lost = self.server.fail_over(self.at_ms, &mut self.dice, &mut self.invariants);
                self.counts.failovers += 1;
                self.counts.lost_writes += lost as u64;
                self.note(format_args!("{lost} writes are lost"));
            }
            Trouble::SessionEnded => self.end_session(device),
        }
    }

    /// Kills a process; it is started again within `back_within_ms`.
    fn kill(&mut self, id: ProcessId, back_within_ms: u64) {
        if self.devices[id.device].processes[id.process].running.is_none() {
            return;
        }
        self.counts.kills += 1;
        if let Some(next) = self.devices[id.device].kill(id.process) {
            self.plan_act(ProcessId { process: next, ..id });
        }
        let in_ms = up_to(&mut self.dice, back_within_ms);
        self.plan_in(in_ms, Happening::Start(id));
    }

    fn suspend(&mut self, id: ProcessId, for_ms: u64, waking: Waking) {
        let process = &mut self.devices[id.device].processes[id.process];
        if process.running.is_none() || process.is_suspended {
            return;
        }
        process.is_suspended = true;
        let life = Life { of: id, number: process.lives };
        self.plan_in(for_ms, Happening::Resume(life, waking));
    }

    fn kill_node(&mut self, node: usize) {
        if !self.server.nodes[node].is_up {
            return;
        }
        self.counts.kills += 1;
        self.server.kill(node, self.at_ms, &mut self.dice);
        let in_ms = up_to(&mut self.dice, 30 * SECOND_MS);
        self.plan_in(in_ms, Happening::NodeUp(node));
    }

    fn end_session(&mut self, device: usize) {
        let Some(sid) = self.session_in_file(device) else { return };
        if self.server.end(sid, self.at_ms) {
            self.invariants.ended(sid, self.step);
        }
    }

    /// The session whose tokens a device's file holds.
    pub(super) fn session_in_file(&self, device: usize) -> Option<SessionId> {
        let file = self.devices[device].file.as_ref().filter(|file| file.tokens.is_some())?;
        file.session.as_ref()?.id.parse().ok()
    }
}
