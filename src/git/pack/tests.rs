use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;

const BLOB: u8 = 3;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// An object as it stands in a pack, whatever it claims.
fn entry(kind: u8, claimed: u64, before: &[u8], content: &[u8]) -> Vec<u8> {
    let first = kind << 4 | u8::try_from(claimed & 15).unwrap();
    let mut bytes = match claimed >> 4 {
        0 => vec![first],
        rest => [vec![first | 0x80], varint(rest)].concat(),
    };
    bytes.extend(before);
    let mut encoder = ZlibEncoder::new(bytes, Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [b"PACK\0\0\0\x02".as_slice(), &count, &entries.concat()].concat()
}

fn delta(base: u64, result: u64, copies: usize) -> Vec<u8> {
    // Each instruction copies 64 KiB from the start of what it builds on.
    let copy = [0x80 | 0x40, 0x01].repeat(copies);
    [varint(base), varint(result), copy].concat()
}

fn judge(entries: &[Vec<u8>]) -> Result<u32, BadPack> {
    look(&mut pack(entries).as_slice(), || true)
}

#[test]
fn what_a_delta_would_come_to_is_known_before_it_is_inflated() {
    let base = entry(BLOB, 65_536, &[], &vec![0; 65_536]);
    let fair = delta(65_536, 131_072, 2);
    let bomb = delta(65_536, 8 << 30, 131_072);
    let of = |content: &[u8]| entry(OFS_DELTA, content.len() as u64, &[0x81, 0x00], content);
    assert!(matches!(judge(&[base.clone(), of(&fair)]), Ok(2)));
    let entries = [base.clone(), of(&bomb)];
    assert!(pack(&entries).len() < 4 << 10, "a bomb of 8 GiB is small");
    assert!(matches!(judge(&entries), Err(BadPack::TooLarge { size }) if size == 8 << 30));
    let by_id = entry(REF_DELTA, bomb.len() as u64, &[7; 20], &bomb);
    assert!(matches!(judge(&[by_id]), Err(BadPack::TooLarge { .. })));
    let of_large = delta(OBJECT_BYTES + 1, 5, 0);
    assert!(matches!(judge(&[base, of(&of_large)]), Err(BadPack::TooLarge { .. })));
}

#[test]
fn what_lies_about_its_size_is_refused() {
    assert!(matches!(judge(&[entry(BLOB, 5, &[], b"hello")]), Ok(1)));
    for (claimed, content) in [(4, b"hello".as_slice()), (6, b"hello"), (0, &[0; 100_000])] {
        assert!(matches!(judge(&[entry(BLOB, claimed, &[], content)]), Err(BadPack::Malformed)), "{claimed}");
    }
    assert!(matches!(judge(&[entry(BLOB, 1 << 40, &[], b"hello")]), Err(BadPack::TooLarge { .. })));
    assert!(matches!(judge(&[entry(OFS_DELTA, 1, &[1], &[0x80])]), Err(BadPack::Malformed)));
    assert!(matches!(judge(&[entry(0, 1, &[], b"a")]), Err(BadPack::Malformed)));
}

#[test]
fn no_bytes_are_too_strange() {
    let whole = pack(&[entry(BLOB, 5, &[], b"hello"), entry(OFS_DELTA, 3, &[1], &[1, 2, 3])]);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        bytes.truncate(random.usize(..=whole.len()));
        for _ in 0..random.usize(..4) {
            if let Some(byte) = bytes.get_mut(random.usize(..whole.len())) {
                *byte = random.u8(..);
            }
        }
        let mut looked = 0;
        let _ = look(&mut bytes.as_slice(), || {
            looked += 1;
            looked < 100
        });
    }
}

#[test]
fn a_look_can_be_ended() {
    let entries = vec![entry(BLOB, 5, &[], b"hello"); 10];
    let mut left = 3;
    let looked = look(&mut pack(&entries).as_slice(), || {
        left -= 1;
        left > 0
    });
    assert!(matches!(looked, Err(BadPack::Stopped)));
}
