//! temp
use std::collections::BTreeMap; use std::sync::Mutex; use std::time::Instant;
pub static T: Mutex<BTreeMap<String,(f64,usize)>> = Mutex::new(BTreeMap::new());
pub struct G(pub String, pub Instant);
pub fn g(n:&str)->G{G(n.into(),Instant::now())}
impl Drop for G{fn drop(&mut self){let e=self.1.elapsed().as_secs_f64(); let mut t=T.lock().unwrap(); let x=t.entry(self.0.clone()).or_default(); x.0+=e; x.1+=1;}}
pub fn print(){let mut v:Vec<_>=T.lock().unwrap().clone().into_iter().collect(); v.sort_by(|a,b|b.1.0.total_cmp(&a.1.0)); for (k,(s,n)) in v {eprintln!("{k:60} {s:.3} {n}");}}
pub fn clear(){T.lock().unwrap().clear()}
