//! What the calls cost when nobody else is there: both ends on one thread, the ring on the heap.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringshm::Wait;
use ringshm_benches::message::{Line, Lines4, Message, Word};
use std::hint::black_box;

const CAPACITY: u64 = 1024;

fn ring<M: Message>() -> (ringshm::Producer<M>, ringshm::Consumer<M>) {
    ringshm::spsc::<M>("").capacity(CAPACITY).wait(Wait::Spin).threads().expect("a small ring on the heap")
}

fn records() -> (ringshm::RecordProducer, ringshm::RecordConsumer) {
    ringshm::spsc::<[u8]>("").capacity(1 << 16).wait(Wait::Spin).threads().expect("a small ring on the heap")
}

fn pair_of<M: Message>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send and receive");
    group.throughput(Throughput::Bytes(size_of::<M>() as u64));
    let (mut to, mut from) = ring::<M>();
    group.bench_function(BenchmarkId::new("try", size_of::<M>()), |bencher| {
        bencher.iter(|| {
            to.try_send(black_box(M::numbered(1))).expect("there is room");
            black_box(from.try_recv().expect("it was sent"))
        });
    });
    group.bench_function(BenchmarkId::new("waiting", size_of::<M>()), |bencher| {
        bencher.iter(|| {
            to.send(black_box(M::numbered(1))).expect("there is room");
            black_box(from.recv().expect("it was sent"))
        });
    });
}

fn batch_of<M: Message>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("64 messages");
    group.throughput(Throughput::Elements(64));
    let (mut to, mut from) = ring::<M>();
    let messages: Vec<M> = (0..64).map(M::numbered).collect();
    group.bench_function(BenchmarkId::new("send_slice and drain", size_of::<M>()), |bencher| {
        bencher.iter(|| {
            to.send_slice(black_box(&messages)).expect("there is room");
            for message in from.drain().expect("they were sent") {
                black_box(message);
            }
        });
    });
}

fn record_of(criterion: &mut Criterion, size: usize) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Bytes(size as u64));
    let (mut to, mut from) = records();
    let record = vec![7_u8; size];
    let mut into = Vec::with_capacity(size);
    group.bench_function(BenchmarkId::new("send and recv", size), |bencher| {
        bencher.iter(|| {
            to.try_send(black_box(&record)).expect("there is room");
            from.try_recv(&mut into).expect("it was sent")
        });
    });
    group.bench_function(BenchmarkId::new("send and recv_ref", size), |bencher| {
        bencher.iter(|| {
            to.try_send(black_box(&record)).expect("there is room");
            black_box(from.try_recv_ref().expect("it was sent").len())
        });
    });
}

fn refused(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("refused");
    let (_to, mut from) = ring::<Word>();
    group.bench_function("try_recv of an empty ring", |bencher| {
        bencher.iter(|| from.try_recv().is_err());
    });
    let (mut to, _from) = ring::<Word>();
    while to.try_send(Word::numbered(1)).is_ok() {}
    group.bench_function("try_send to a full ring", |bencher| {
        bencher.iter(|| to.try_send(black_box(Word::numbered(1))).is_err());
    });
    group.finish();
}

fn making(criterion: &mut Criterion) {
    criterion.bench_function("make a ring on the heap", |bencher| {
        bencher.iter_batched(|| (), |()| ring::<Word>(), BatchSize::PerIteration);
    });
}

fn all(criterion: &mut Criterion) {
    pair_of::<Word>(criterion);
    pair_of::<Line>(criterion);
    pair_of::<Lines4>(criterion);
    batch_of::<Word>(criterion);
    batch_of::<Line>(criterion);
    for size in [8, 64, 256, 1024] {
        record_of(criterion, size);
    }
    refused(criterion);
    making(criterion);
}

criterion_group!(benches, all);
criterion_main!(benches);
